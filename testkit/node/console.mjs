// A browser at the console: signs in, creates a user, publishes content for the administrator, sees the notification
// come over Socket.IO, and asks GraphQL in the playground. Prints {event: "signed-in" | "created" | "notified" |
// "graphql" | "error", …}. The last argument is the path of Chromium.
import { launch } from './lib/browser.mjs';
import { args, print } from './lib/lines.mjs';

const [url, executablePath] = args('url', 'chromium');
const browser = await launch(executablePath);
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => print({ event: 'error', message: error.message }));
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) print({ event: 'error', message: `foreign request ${request.url()}` });
  });

  await page.goto(url);
  await page.click('#login button');
  await page.waitForSelector('#users tr');
  await page.waitForFunction(() => document.getElementById('socket').textContent === 'Socket: connected');
  print({ event: 'signed-in', users: await page.locator('#users tr').count() });

  const address = `browser-${Date.now()}@example.com`;
  await page.fill('#create [name=email]', address);
  await page.fill('#create [name=password]', 'correct horse');
  await page.click('#create button');
  await page.waitForFunction((text) => document.getElementById('users').textContent.includes(text), address);
  print({ event: 'created', address });

  await page.fill('#publish [name=title]', 'From the browser');
  await page.selectOption('#publish [name=audience]', { label: 'admin@example.com' });
  await page.click('#publish button');
  await page.waitForSelector('#notifications li');
  print({ event: 'notified', message: await page.locator('#notifications li').first().textContent() });

  const token = await page.evaluate(() => state.token);
  await page.goto(`${url}/graphql`);
  print({ event: 'graphql', title: await page.title(), offline: true, token: token.length > 0 });
} finally {
  await browser.close();
}
