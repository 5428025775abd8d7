// Chatting with a real server in a real browser.
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openPage, startBrowser } from './support/browser.mjs';
import { answered, eventually, focused, greedily, lastAnswer, say, shown, stored } from './support/chat.mjs';
import { startProxy } from './support/proxy.mjs';
import { startServer, TINY } from './support/server.mjs';

let server;
let browser;
let proxy;

before(async () => {
  [server, browser] = await Promise.all([startServer({ model: TINY, args: ['--alias', 'tiny'] }), startBrowser()]);
  proxy = await startProxy(server.address);
});

after(async () => {
  await browser?.close();
  await proxy?.goAway();
  await server?.stop();
});

/** A test on a page of its own, which must not complain. */
function onPage(name, run, options) {
  test(name, async (t) => {
    const opened = await openPage(browser, proxy.address, options);
    t.after(() => opened.context.close());
    t.after(() => proxy.release());
    await run(opened.page);
    assert.deepEqual(opened.complaints, []);
  });
}

const messages = (page) => page.locator('.user .bubble').allInnerTexts();
const field = (page) => page.getByRole('textbox', { name: 'Message' });

onPage('an example is asked and answered, with its timings', async (page) => {
  await page.getByRole('button', { name: 'Who are you?' }).click();
  await answered(page);
  await eventually(() => messages(page), ['Who are you?']);
  assert.match(await page.locator('.timing').innerText(), /\d+ m?s to first token.*\d+ prompt.*\d+ answer tokens/s);
  assert.equal(await page.locator('.model-name').innerText(), 'tiny');
  assert.match(await page.title(), /Who are you\?/);
});

onPage('what is asked for is what was set', async (page) => {
  await page.keyboard.press('Control+,');
  await page.getByLabel('System prompt').fill('Be brief.');
  for (const [name, value] of [['Temperature', '0'], ['Top-p', '0.9'], ['Top-k', '40'], ['Min-p', '0.05'], ['Typical-p', '0.95'], ['Max tokens', '5'], ['Seed', '7'], ['Repetition penalty', '1.1'], ['Frequency penalty', '0.1'], ['Presence penalty', '0.2']]) {
    await page.getByLabel(name, { exact: true }).fill(value);
  }
  await page.getByLabel('Stop strings').fill('END');
  await page.getByRole('button', { name: 'Insert an example' }).click();
  await page.getByLabel('Variables, as JSON').fill('{"enable_thinking": false}');
  const asked = page.waitForRequest('**/v1/chat/completions');
  await say(page, 'Hello');
  const { messages: sent, tools, ...body } = (await asked).postDataJSON();
  assert.deepEqual(sent, [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hello' }]);
  assert.equal(tools[0].function.name, 'get_weather');
  assert.deepEqual(body, {
    model: 'tiny', temperature: 0, top_p: 0.9, top_k: 40, min_p: 0.05, typical_p: 0.95, max_tokens: 5, seed: 7,
    repetition_penalty: 1.1, frequency_penalty: 0.1, presence_penalty: 0.2, stop: ['END'],
    chat_template_kwargs: { enable_thinking: false }, stream: true, stream_options: { include_usage: true },
  });
  await answered(page);
  assert.match(await page.locator('.answer').innerText(), /5 answer tokens/);
  assert.match(await page.locator('.answer').innerText(), /Cut at the limit/);
});

onPage('wrong settings are told where they are, and keep a message from being sent', async (page) => {
  await page.keyboard.press('Control+,');
  await page.getByLabel('Temperature').fill('warm');
  await page.getByLabel('Tools, as JSON').fill('[{"function": 1}]');
  await eventually(() => page.getByLabel('Temperature').getAttribute('aria-invalid'), 'true');
  await page.getByText('Tool 1 needs "function"').waitFor();
  await page.keyboard.press('Escape');
  await say(page, 'Hello');
  await page.getByText('Something in the settings is not right yet.').waitFor();
  await eventually(() => focused(page), 'setting-temperature');
  assert.equal(await field(page).inputValue(), 'Hello');
  await page.getByRole('button', { name: 'Back to the defaults' }).click();
  await say(page, 'Hello');
  await answered(page);
});

onPage('an answer grows, is stopped, and goes on', async (page) => {
  await greedily(page);
  proxy.hold(8000);
  await say(page, 'Go on');
  await shown(page);
  const early = await page.locator('.answer .prose').innerText();
  proxy.allow(6000);
  await shown(page, early.length + 10);
  await page.keyboard.press('Escape');
  await answered(page);
  assert.match(await page.locator('.ending').innerText(), /Stopped/);
  proxy.release();
  const kept = (await stored(page)).trimEnd();
  const asked = page.waitForRequest('**/v1/chat/completions');
  await page.getByRole('button', { name: 'Continue' }).click();
  const body = (await asked).postDataJSON();
  assert.deepEqual([body.continue_final_message, body.add_generation_prompt, body.messages.at(-1).role], [true, false, 'assistant']);
  await answered(page);
  assert.ok((await stored(page)).startsWith(kept));
  assert.equal(await page.locator('.answer').count(), 1);
});

onPage('a conversation longer than the context goes on without its oldest exchanges', async (page) => {
  await page.keyboard.press('Control+,');
  await page.getByLabel('Max tokens').fill('4');
  await page.keyboard.press('Escape');
  for (let i = 1; i <= 5; i += 1) {
    await say(page, `${i} ${'is said. '.repeat(8)}`);
    await answered(page, i);
  }
  assert.equal(await page.locator('.answer .problem').count(), 0);
  await page.locator('.answer').last().getByText(/^The context is full: the first .* left out\.$/).waitFor();
});

test('a model without a chat template goes on with what is written', async (t) => {
  const model = await mkdtemp(join(tmpdir(), 'whinchat-'));
  t.after(() => rm(model, { recursive: true }));
  await cp(TINY, model, { recursive: true, filter: (path) => !path.endsWith('chat_template.jinja') });
  const other = await startServer({ model, args: ['--alias', 'base'] });
  t.after(() => other.stop());
  const { page, context, complaints } = await openPage(browser, other.address);
  t.after(() => context.close());
  await page.getByText('base has no chat template, so it cannot chat').waitFor();
  await page.keyboard.press('Control+,');
  await page.getByLabel('Temperature').fill('0');
  await page.getByLabel('Max tokens').fill('8');
  await page.keyboard.press('Escape');
  await say(page, 'Once upon a time');
  await answered(page);
  assert.equal((await page.locator('.plain').textContent()).trim(), (await stored(page)).trim());
  assert.equal(await page.locator('.answer .problem').count(), 0);
  assert.deepEqual(complaints, []);
});

onPage('another answer and another question are versions; none is lost', async (page) => {
  await say(page, 'First');
  await answered(page);
  const first = await lastAnswer(page);
  await page.getByRole('button', { name: 'Regenerate' }).click();
  await page.getByText('2/2').waitFor();
  await answered(page);
  await page.getByRole('button', { name: 'Previous version' }).click();
  await eventually(() => lastAnswer(page), first);
  await field(page).focus();
  await page.keyboard.press('ArrowUp');
  await page.locator('.editor textarea').fill('Second');
  await page.keyboard.press('Enter');
  await answered(page);
  await eventually(() => messages(page), ['Second']);
  await page.locator('.user').hover();
  await page.locator('.user').getByRole('button', { name: 'Previous version' }).click();
  await eventually(() => messages(page), ['First']);
});

onPage('an edit can be given up', async (page) => {
  await say(page, 'First');
  await answered(page);
  await page.locator('.user').hover();
  await page.getByRole('button', { name: 'Edit message' }).click();
  await page.keyboard.type(' and more');
  await page.keyboard.press('Escape');
  await eventually(() => messages(page), ['First']);
  await eventually(() => focused(page), 'composer');
});

onPage('conversations are kept, named, found again, deleted and brought back', async (page) => {
  const list = page.getByRole('navigation', { name: 'Conversations' });
  const titles = () => list.locator('.title').allInnerTexts();
  await say(page, 'About apples');
  await answered(page);
  await page.keyboard.press('Control+k');
  await page.getByRole('heading', { name: 'What shall we talk about?' }).waitFor();
  await say(page, 'About pears');
  await answered(page);
  await page.reload();
  await answered(page);
  await eventually(async () => [await titles(), await messages(page)], [['About pears', 'About apples'], ['About pears']]);
  await list.getByText('About apples').dblclick();
  await page.getByRole('textbox', { name: 'Title' }).fill('Fruit');
  await page.keyboard.press('Enter');
  await list.getByText('Fruit').waitFor();
  await eventually(() => messages(page), ['About apples']);
  await list.getByText('Fruit').hover();
  await page.getByRole('button', { name: 'Delete “Fruit”' }).click();
  await eventually(titles, ['About pears']);
  await page.getByRole('button', { name: 'Undo' }).click();
  await answered(page);
  await eventually(() => messages(page), ['About apples']);
  await page.goBack();
  await page.keyboard.press('Alt+ArrowDown');
  await page.reload();
  await eventually(async () => (await titles()).length, 2);
});

onPage('long lists can be searched', async (page) => {
  for (const fruit of ['fig', 'plum', 'lime', 'pear', 'kiwi', 'date', 'sloe', 'quince']) {
    await page.keyboard.press('Control+k');
    await say(page, `A ${fruit}`);
    await answered(page);
  }
  await page.getByRole('searchbox', { name: 'Search conversations' }).fill('QUIN');
  await eventually(() => page.locator('.conversations .title').allInnerTexts(), ['A quince']);
});

onPage('two conversations are answered at once', async (page) => {
  await greedily(page);
  proxy.hold(8000);
  await say(page, 'One');
  await shown(page);
  await page.keyboard.press('Control+k');
  await say(page, 'Two');
  await shown(page);
  await eventually(() => page.locator('.conversations .dot.busy').count(), 2);
  proxy.release();
  await answered(page);
  await page.locator('.conversations').getByText('One').click();
  await answered(page);
  assert.ok((await lastAnswer(page)).length > 20);
});

onPage('what came of an answer survives a reload', async (page) => {
  await greedily(page);
  proxy.hold(8000);
  await say(page, 'Go on');
  await shown(page);
  await page.reload();
  await answered(page);
  assert.match(await page.locator('.answer').innerText(), /Stopped/);
  assert.ok((await lastAnswer(page)).length > 20);
});

onPage('the end is followed until the reader scrolls up', async (page) => {
  const scroller = page.locator('.scroller');
  const look = () => scroller.evaluate(({ scrollHeight, clientHeight, scrollTop }) => ({ height: scrollHeight, top: scrollTop, left: scrollHeight - clientHeight - scrollTop }));
  const grownTo = (height) => page.waitForFunction((wanted) => document.querySelector('.scroller').scrollHeight > wanted, height);
  await page.setViewportSize({ width: 420, height: 320 });
  await greedily(page);
  proxy.hold(24_000);
  await say(page, 'Go on');
  await page.waitForFunction(() => document.querySelector('.scroller')?.scrollTop > 60);
  await scroller.hover();
  await page.mouse.wheel(0, -150);
  await page.getByRole('button', { name: 'To the end' }).waitFor();
  const before = await look();
  proxy.allow(12_000);
  await grownTo(before.height + 20);
  assert.equal((await look()).top, before.top, 'it stays');
  await page.getByRole('button', { name: 'To the end' }).click();
  await page.locator('.to-end').waitFor({ state: 'detached' });
  const again = await look();
  proxy.release();
  await grownTo(again.height + 20);
  await answered(page);
  await eventually(async () => (await look()).left < 40, true);
});

onPage('answers and conversations are copied and exported', async (page) => {
  const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
  await say(page, 'Hello');
  await answered(page);
  await page.getByRole('button', { name: 'Copy answer' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  const answer = await stored(page);
  await eventually(clipboard, answer);
  await page.getByRole('button', { name: 'More' }).click();
  await page.getByRole('button', { name: 'Copy conversation' }).click();
  await page.getByText('The conversation is copied.').waitFor();
  assert.ok((await clipboard()).startsWith('**You**\n\nHello\n\n**Assistant**\n\n'));
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'More' }).click();
  await page.getByRole('button', { name: 'Export as JSON' }).click();
  const file = await download;
  assert.equal(file.suggestedFilename(), 'hello.json');
  const exported = JSON.parse(await readFile(await file.path(), 'utf8'));
  assert.deepEqual([exported.title, exported.models, exported.messages], ['Hello', ['tiny'], [{ role: 'user', content: 'Hello' }, { role: 'assistant', content: answer }]]);
});

onPage('the keyboard is enough', async (page) => {
  await eventually(() => focused(page), 'composer');
  await page.keyboard.type('One');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('Two');
  await page.keyboard.press('Enter');
  await answered(page);
  await eventually(() => messages(page), ['One\nTwo']);
  await page.keyboard.press('Alt+r');
  await page.getByText('2/2').waitFor();
  await answered(page);
  await page.keyboard.press('Alt+c');
  await page.getByText('The answer is copied.').waitFor();
  await page.keyboard.press('Control+b');
  await eventually(() => page.getByRole('navigation').count(), 0);
  await page.keyboard.press('Control+b');
  await page.getByRole('log').focus();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByRole('log').focus();
  await page.keyboard.press('/');
  await eventually(() => focused(page), 'composer');
  await page.keyboard.type('a/b?');
  assert.equal(await field(page).inputValue(), 'a/b?');
});

onPage('dark and light follow the system and can be switched', async (page) => {
  const is = (rgb) => page.waitForFunction((paper) => getComputedStyle(document.documentElement).backgroundColor === paper, rgb);
  const [light, dark] = ['rgb(252, 251, 249)', 'rgb(28, 26, 24)'];
  await is(light);
  await page.emulateMedia({ colorScheme: 'dark' });
  await is(dark);
  await page.getByRole('button', { name: 'Theme: as the system' }).click();
  await is(light);
  await page.reload();
  await is(light);
  await page.getByRole('button', { name: 'Theme: light' }).click();
  await page.emulateMedia({ colorScheme: 'light' });
  await is(dark);
  await page.getByRole('button', { name: 'Theme: dark' }).click();
  await is(light);
});

onPage('it fits a phone', async (page) => {
  const fits = async (what) => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, what);
  await fits('the beginning');
  await say(page, 'averyverylongwordwithoutanyspaces'.repeat(6));
  await answered(page);
  await fits('a conversation');
  assert.equal(await page.locator('kbd:visible').count(), 0, 'a phone has no keys');
  await page.getByRole('button', { name: 'Conversations' }).click();
  await fits('the list');
  assert.equal(await page.locator('kbd:visible').count(), 0, 'a phone has no keys');
  await page.getByRole('button', { name: 'Close the list' }).click();
  await page.getByRole('button', { name: 'Settings' }).click();
  await fits('the settings');
  await page.getByRole('button', { name: 'Close the settings' }).click();
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByRole('heading', { name: 'What shall we talk about?' }).waitFor();
}, { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
