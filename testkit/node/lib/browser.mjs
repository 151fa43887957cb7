// Chromium without a screen, which calls nobody by itself.
import { chromium } from 'playwright-core';

/** Starts the browser found at that path. */
export function launch(executablePath) {
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
}
