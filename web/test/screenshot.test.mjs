// The pictures of the documents: a real conversation with the built-in model, and the dashboard with made-up numbers. They are always made, and written only when asked for:
// WHINCHAT_SCREENSHOT=1 npm test (Debian's fonts-inter makes it look as it does there).
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { openPage, startBrowser } from './support/browser.mjs';
import { answered, greedily, lastAnswer, say } from './support/chat.mjs';
import { openDashboard } from './support/dashboard.mjs';
import { startServer } from './support/server.mjs';
import { day, snapshot, startTelemetry } from './support/telemetry.mjs';

/** What the tool of the example is for, and what it would answer. */
const QUESTION = 'What is the weather in Oslo?';
const RESULT = '{"temperature": 12, "sky": "cloudy"}';

const picture = (name) => new URL(`../../docs/images/${name}.png`, import.meta.url);

test('the built-in model makes the picture of README.md', async (t) => {
  const server = await startServer({ args: ['--alias', 'whinchat-demo'] });
  t.after(() => server.stop());
  const browser = await startBrowser();
  t.after(() => browser.close());
  const { page, complaints } = await openPage(browser, server.address, { deviceScaleFactor: 2 });
  await greedily(page);
  for (const earlier of ['Spell the word garden.', 'What is 27 + 45?', 'Tell me a short story about a fox.']) {
    await say(page, earlier);
    await answered(page);
    assert.ok((await lastAnswer(page)).length > 1, earlier);
    await page.keyboard.press('Control+k');
  }
  await say(page, 'Who are you?');
  await answered(page);
  await page.keyboard.press('Control+,');
  await page.getByRole('button', { name: 'Insert an example' }).click();
  await page.keyboard.press('Escape');
  await say(page, QUESTION);
  await answered(page, 2);
  const result = page.getByLabel('What the tool answers');
  const called = (await result.count()) > 0;
  if (called) {
    await result.fill(RESULT);
    await page.keyboard.press('Enter');
    await answered(page, 3);
  }
  await page.mouse.move(0, 0);
  const png = await page.screenshot();
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [2400, 1600]);
  assert.deepEqual(complaints, []);
  if (process.env.WHINCHAT_SCREENSHOT) {
    assert.ok(called, 'the model called no tool: ask it something else');
    await mkdir(new URL('.', picture('chat')), { recursive: true });
    await writeFile(picture('chat'), png);
  }
});

test('made-up numbers make the picture of the dashboard', async (t) => {
  const server = await startTelemetry({ told: snapshot(), history: day() });
  t.after(() => server.stop());
  const browser = await startBrowser();
  t.after(() => browser.close());
  const { page, complaints } = await openDashboard(browser, server.address, { viewport: { width: 1440, height: 1080 } });
  await page.getByRole('button', { name: '6 h' }).click();
  await page.waitForFunction(() => /[0-9]/.test(document.querySelector('.legend b')?.textContent ?? ''), undefined, { polling: 50 });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const png = await page.screenshot();
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [1440, 1080]);
  assert.deepEqual(complaints, []);
  if (process.env.WHINCHAT_SCREENSHOT) await writeFile(picture('dashboard'), png);
});
