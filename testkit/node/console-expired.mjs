// A browser at the console whose token has expired: the refresh token serves once, then the console stops and says so.
// Prints {event: "call" | "socket" | "refused" | "error", …}. The last argument is the path of Chromium.
import { launch } from './lib/browser.mjs';
import { args, print } from './lib/lines.mjs';

const [url, executablePath] = args('url', 'chromium');
const browser = await launch(executablePath);
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => print({ event: 'error', message: error.message }));
  let sockets = 0;
  page.on('websocket', () => { sockets += 1; });
  const socket = (text) => page.waitForFunction((text) => document.getElementById('socket').textContent.startsWith(text), text);

  await page.goto(url);
  await page.click('#login button');
  await socket('Socket: connected');
  await page.evaluate(() => { state.token = 'not.a.token'; });
  const users = await page.evaluate(async () => (await call('GET', '/api/v1/users')).data.length);
  print({ event: 'call', users });

  await page.evaluate(() => {
    state.token = 'not.a.token';
    state.socket.close();
  });
  await socket('Socket: closed');
  await socket('Socket: connected');
  print({ event: 'socket', sockets });

  await page.evaluate(() => {
    state.token = state.refreshToken = 'not.a.token';
    state.socket.close();
  });
  await socket('Socket: refused');
  const seen = sockets;
  // Longer than the console waits before it connects again.
  await page.waitForTimeout(4000);
  print({
    event: 'refused',
    again: sockets - seen,
    status: await page.textContent('#socket'),
    session: await page.textContent('#session'),
  });
} finally {
  await browser.close();
}
