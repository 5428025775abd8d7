// Accessibility: axe finds nothing, in light and dark, at a desk and on a phone, in each state of the page.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { openPage, startBrowser } from './support/browser.mjs';
import { answered, describe, record, refusal, say, stream, text } from './support/chat.mjs';
import { startServer, TINY } from './support/server.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer({ model: TINY, args: ['--alias', 'tiny'] }), startBrowser()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function check(page, state) {
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)}\n${failureSummary}`));
  });
  assert.deepEqual(found, [], state);
}

/** Walks through the states of the page and looks at each. */
async function walk(page) {
  await page.evaluate(axe);
  await check(page, 'the beginning');
  await record(
    page,
    text('# A title\n\nText with `code`, **bold** and a [link](https://example.org).\n\n```js\nlet a = f(1); // one\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] done\n\n> said $x$\n\n$$\\frac{a}{b}$$'),
    stream([{ reasoning_content: 'Hm.' }, { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a": 1}' } }] }], 'tool_calls'),
    refusal(429, 'queue_full', 'Too much.'),
  );
  await say(page, 'Show me everything');
  await answered(page);
  await page.locator('.prose math').first().waitFor();
  await say(page, 'Call');
  await answered(page, 2);
  await page.locator('.reasoning summary').click();
  await check(page, 'a call');
  await page.getByLabel('What the tool answers').fill('2');
  await page.keyboard.press('Enter');
  await answered(page, 3);
  await check(page, 'a problem');
  await page.keyboard.press('ArrowUp');
  await page.locator('.editor').waitFor();
  await check(page, 'an edit');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+,');
  await page.getByLabel('Temperature').fill('x');
  await check(page, 'settings with something wrong');
  await page.getByRole('button', { name: 'Back to the defaults' }).click();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'More' }).click();
  await page.getByRole('button', { name: 'Keyboard shortcuts' }).click();
  await check(page, 'the shortcuts');
  await describe(page, { chat: false });
  await page.evaluate(axe);
  await check(page, 'a model without a chat template');
}

const desk = { width: 1200, height: 800 };
const phone = { width: 360, height: 740 };

for (const [colorScheme, viewport] of [['light', desk], ['dark', desk], ['light', phone], ['dark', phone]]) {
  test(`${colorScheme}, ${viewport.width} wide`, async (t) => {
    const { page, context, complaints } = await openPage(browser, server.address, { colorScheme, viewport, bypassCSP: true });
    t.after(() => context.close());
    await walk(page);
    assert.deepEqual(complaints, []);
  });
}
