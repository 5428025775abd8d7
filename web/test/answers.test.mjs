// What other models and worse days bring: recorded answers, and a server that goes away.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openPage, startBrowser } from './support/browser.mjs';
import { answered, continuation, describe, eventually, greedily, lastAnswer, record, recordAt, refusal, say, stored, stream, text } from './support/chat.mjs';
import { startProxy } from './support/proxy.mjs';
import { startServer, TINY } from './support/server.mjs';

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer({ model: TINY, args: ['--alias', 'tiny'] }), startBrowser()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

function onPage(name, run) {
  test(name, async (t) => {
    const opened = await openPage(browser, server.address);
    t.after(() => opened.context.close());
    await run(opened.page, opened.context);
    assert.deepEqual(opened.complaints, []);
  });
}

onPage('markdown becomes elements, and code can be copied', async (page) => {
  await record(page, text('# Title\n\nSome **bold** and `code`.\n\n- one\n- two\n\n```js\nlet a = 1;\n```\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n[a link](https://example.org)'));
  await say(page, 'Hello');
  await answered(page);
  const answer = page.locator('.answer .prose');
  await answer.getByRole('heading', { name: 'Title' }).waitFor();
  assert.equal(await answer.locator('strong').innerText(), 'bold');
  assert.deepEqual(await answer.locator('li').allInnerTexts(), ['one', 'two']);
  assert.equal(await answer.getByRole('cell').count(), 2);
  const link = answer.getByRole('link', { name: 'a link' });
  assert.deepEqual([await link.getAttribute('href'), await link.getAttribute('rel'), await link.getAttribute('target')], ['https://example.org', 'noopener noreferrer', '_blank']);
  await answer.getByRole('button', { name: 'Copy code' }).click();
  await answer.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'let a = 1;');
});

onPage('an answer cannot bring markup or scripts', async (page) => {
  const hostile = '<img src=x onerror="document.title=1"> <script>document.title=2</script>\n\n[x](javascript:document.title=3)\n\n```html\n<b>4</b>\n```\n\n<iframe src="https://example.org"></iframe> ![p](https://example.org/p.png)';
  await record(page, text(hostile));
  await say(page, '<b>me</b>');
  await answered(page);
  assert.match(await lastAnswer(page), /<img src=x onerror/);
  assert.equal(await page.locator(':is(.prose, .bubble) :is(img, script, iframe, b)').count(), 0);
  assert.equal(await page.locator('.bubble').innerText(), '<b>me</b>');
  assert.doesNotMatch(await page.title(), /^\d$/);
  assert.deepEqual(await page.locator('.prose a').evaluateAll((links) => links.map(({ href }) => href)), ['https://example.org/', 'https://example.org/p.png']);
});

onPage('formulas are drawn, by what is asked for with the first of them', async (page) => {
  const asked = [];
  page.on('request', (request) => request.url().endsWith('/math.js') && asked.push(request.url()));
  await record(page, text('It costs $5 and $10.'), text('Here \\(\\frac{a}{b}\\), $x^2$ and\n\n\\[\n\\begin{aligned} a &= b \\\\ &= c \\end{aligned}\n\\]\n\n$$y$$'));
  await say(page, 'A price');
  await answered(page);
  assert.equal(await lastAnswer(page), 'It costs $5 and $10.');
  assert.equal(asked.length, 0);
  await say(page, 'Formulas');
  await answered(page, 2);
  const answer = page.locator('.answer').last();
  await eventually(() => answer.locator('math').count(), 4);
  assert.deepEqual([await answer.locator('math mfrac > mi').allTextContents(), await answer.locator('math msup').textContent()], [['a', 'b'], 'x2']);
  assert.deepEqual([await answer.locator('.display math').count(), await answer.locator('.written').count(), asked.length], [2, 0, 1]);
});

onPage('what cannot be drawn, or should not be, is shown as it was written', async (page) => {
  const written = ['\\(\\frac{a}{\\)', '$\\nosuchcommand$', '\\(\\href{javascript:document.title=1}{x}\\)', '\\(\\includegraphics{https://example.org/x.png}\\)', `\\(${'x'.repeat(10_001)}\\)`];
  await record(page, text(`${written.join(' ')} and \\(y\\) and \\(\\rule{9999em}{9999em}\\)`));
  await say(page, 'Formulas');
  await answered(page);
  await eventually(() => page.locator('.prose math').count(), 2);
  assert.deepEqual(await page.locator('.written').allInnerTexts(), written);
  assert.equal(await page.locator('.prose :is(a, img)').count(), 0);
  assert.ok((await page.locator('.prose mspace').boundingBox()).width < 250);
});

onPage('without what draws them formulas are shown as they were written', async (page) => {
  await page.route('**/math.js', (route) => route.abort());
  await record(page, text('Here $x$.'));
  await say(page, 'A formula');
  await answered(page);
  await eventually(() => lastAnswer(page), 'Here $x$.');
});

/** A streamed answer that says something and calls these tools, the arguments in pieces. */
function calling(content, ...calls) {
  const pieces = calls.flatMap(([name, ...parts], index) => [
    { tool_calls: [{ index, id: `c${index + 1}`, type: 'function', function: { name, arguments: '' } }] },
    ...parts.map((part) => ({ tool_calls: [{ index, function: { arguments: part } }] })),
  ]);
  return stream([...(content ? [{ content }] : []), ...pieces], 'tool_calls');
}

onPage('a call becomes a card; its result goes back and the answer goes on', async (page) => {
  const call = calling('Let me look.', ['get_weather', '{"city": "Oslo", "da', 'ys": 2}']);
  const bodies = await record(page, call, text('It is 12 degrees.'), text('It snows.'));
  await say(page, 'The weather in Oslo?');
  await answered(page);
  assert.equal(await lastAnswer(page), 'Let me look.');
  const card = page.getByRole('region', { name: 'Tool call: get_weather' });
  assert.deepEqual(await card.getByRole('term').allInnerTexts(), ['city', 'days']);
  assert.deepEqual(await card.getByRole('definition').allInnerTexts(), ['Oslo', '2']);
  assert.ok(await page.getByRole('button', { name: 'Send result' }).isDisabled());
  await card.getByLabel('What the tool answers').fill('{"temperature": 12}');
  await page.keyboard.press('Enter');
  await answered(page, 2);
  assert.equal(await lastAnswer(page), 'It is 12 degrees.');
  const sent = { id: 'c1', type: 'function', function: { name: 'get_weather', arguments: '{"city": "Oslo", "days": 2}' } };
  assert.deepEqual(bodies[1].messages.slice(1), [
    { role: 'assistant', content: 'Let me look.', tool_calls: [sent] },
    { role: 'tool', content: '{"temperature": 12}', tool_call_id: 'c1', name: 'get_weather' },
  ]);
  await page.getByRole('button', { name: 'Another result' }).click();
  await card.getByLabel('What the tool answers').fill('{"temperature": -2}');
  await page.getByRole('button', { name: 'Send result' }).click();
  await page.getByText('It snows.').waitFor();
  assert.equal(bodies[2].messages[2].content, '{"temperature": -2}');
  await page.getByRole('group', { name: 'Versions' }).getByText('2/2').waitFor();
});

onPage('several tools may be called at once', async (page) => {
  const bodies = await record(page, calling('', ['add', '{"a": 1,', ' "b": 2}'], ['now', '{}']), text('3, at noon.'));
  await say(page, 'Add, and tell the time');
  await answered(page);
  await page.getByRole('region', { name: 'Tool call: add' }).getByLabel('What the tool answers').fill('3');
  assert.ok(await page.getByRole('button', { name: 'Send results' }).isDisabled());
  await page.getByRole('region', { name: 'Tool call: now' }).getByLabel('What the tool answers').fill('12:00');
  await page.getByRole('button', { name: 'Send results' }).click();
  await answered(page, 2);
  assert.deepEqual(bodies[1].messages.slice(1), [
    { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'add', arguments: '{"a": 1, "b": 2}' } }, { id: 'c2', type: 'function', function: { name: 'now', arguments: '{}' } }] },
    { role: 'tool', content: '3', tool_call_id: 'c1', name: 'add' },
    { role: 'tool', content: '12:00', tool_call_id: 'c2', name: 'now' },
  ]);
});

onPage('a call that was cut is shown as far as it came, and not sent back', async (page) => {
  const bodies = await record(page, calling('Let me look.', ['get_weather', '{"city": "Os']), text('Yes?'));
  await say(page, 'Hello');
  await answered(page);
  await page.getByText('{"city": "Os', { exact: true }).waitFor();
  await page.getByText('The arguments are not whole.').waitFor();
  assert.equal(await page.getByLabel('What the tool answers').count(), 0);
  await say(page, 'Go on');
  await answered(page, 2);
  assert.deepEqual(bodies[1].messages[1], { role: 'assistant', content: 'Let me look.' });
});

onPage('what looks like a tag in an answer is text', async (page) => {
  await record(page, text('<think>a</think> <tool_call>{"name": "f"}</tool_call>'));
  await say(page, 'Hello');
  await answered(page);
  assert.equal(await lastAnswer(page), '<think>a</think> <tool_call>{"name": "f"}</tool_call>');
});

onPage('reasoning is folded, and goes back with what was said', async (page) => {
  const bodies = await record(page, stream([{ reasoning_content: 'First I ' }, { reasoning_content: 'think.' }, { content: 'Then I speak.' }], 'stop'), text('Yes.'));
  await say(page, 'Think');
  await answered(page);
  assert.equal(await lastAnswer(page), 'Then I speak.');
  const thought = page.getByText('First I think.');
  assert.ok(!(await thought.isVisible()));
  await page.locator('.reasoning summary').click();
  assert.ok(await thought.isVisible());
  await say(page, 'Go on');
  await answered(page, 2);
  assert.deepEqual(bodies[1].messages[1], { role: 'assistant', content: 'Then I speak.', reasoning_content: 'First I think.' });
});

onPage('a refusal is told in the words of the server, and can be tried again', async (page) => {
  const message = '1,024 requests wait already.';
  await record(page, refusal(429, 'queue_full', message), text('Now it works.'));
  await say(page, 'Hello');
  const problem = page.getByRole('group', { name: 'Problem' });
  await problem.getByText('The server is busy').waitFor();
  await problem.getByText(message).waitFor();
  await problem.getByRole('button', { name: 'Retry' }).click();
  await page.getByText('Now it works.').waitFor();
  await answered(page);
  await eventually(() => problem.count(), 0);
  assert.equal(await page.getByRole('group', { name: 'Versions' }).count(), 0);
});

const TOO_LONG = refusal(400, 'context_length_exceeded', 'The prompt has 300 tokens; it may have at most 255. Shorten it.');

/** What a person says in a body. */
const said = ({ messages }) => messages.filter(({ role }) => role === 'user').map(({ content }) => content);

onPage('where the server finds a conversation too long its oldest exchanges are left out, and that is said', async (page) => {
  const bodies = await record(page, text('1'), text('2'), TOO_LONG, TOO_LONG, text('3'));
  for (const [i, word] of ['One', 'Two', 'Three'].entries()) {
    await say(page, word);
    await answered(page, i + 1);
  }
  assert.deepEqual(bodies.map(said), [['One'], ['One', 'Two'], ['One', 'Two', 'Three'], ['Two', 'Three'], ['Three']]);
  assert.equal(await lastAnswer(page), '3');
  await page.locator('.answer').last().getByText('The context is full: the first 2 exchanges are left out.').waitFor();
  assert.equal(await page.locator('.answer .problem').count(), 0);
});

onPage('where the context is known the oldest exchanges are left out before the server is asked', async (page) => {
  await describe(page, { context: 64 });
  const bodies = await record(page, text('1', { prompt: 30 }), text('2', { prompt: 50 }), text('3', { prompt: 40 }));
  for (const [i, word] of ['One', 'Two', 'Six'].entries()) {
    await say(page, word.repeat(20));
    await answered(page, i + 1);
  }
  assert.deepEqual(bodies.map((body) => said(body).length), [1, 2, 2]);
  await page.getByText('The context is full: the first exchange is left out.').waitFor();
});

onPage('what is too long by itself can be shortened', async (page) => {
  const bodies = await record(page, TOO_LONG, text('Short.'));
  await say(page, 'A long story');
  const problem = page.getByRole('group', { name: 'Problem' });
  await problem.getByText('The prompt has 300 tokens').waitFor();
  await problem.getByRole('button', { name: 'Edit' }).click();
  await page.locator('.editor textarea').fill('A story');
  await page.keyboard.press('Enter');
  await answered(page);
  assert.deepEqual(bodies.map(said), [['A long story'], ['A story']]);
});

onPage('a model without a chat template goes on with a text', async (page) => {
  await describe(page, { chat: false, context: 64 });
  await page.getByText('tiny has no chat template, so it cannot chat').waitFor();
  const bodies = await recordAt(page, '**/v1/completions', continuation(' a <b>fox</b>\n', '  *ran*.'));
  await page.getByRole('button', { name: 'Once upon a time,' }).click();
  await answered(page);
  await eventually(() => page.locator('.plain').innerText(), ' a <b>fox</b>\n  *ran*.');
  await page.getByRole('button', { name: 'Continue' }).click();
  await answered(page);
  await say(page, 'The end');
  await answered(page, 2);
  const twice = 'Once upon a time, a <b>fox</b>\n  *ran*. a <b>fox</b>\n  *ran*.';
  assert.deepEqual(bodies.map(({ prompt }) => prompt), ['Once upon a time,', 'Once upon a time, a <b>fox</b>\n  *ran*.', `${twice}\n\nThe end`]);
  assert.deepEqual([bodies[0].max_tokens, bodies[0].stream, bodies[0].messages], [256, true, undefined]);
  await page.keyboard.press('Control+,');
  assert.deepEqual([await page.getByLabel('System prompt').count(), await page.getByLabel('Tools, as JSON').count()], [0, 0]);
});

onPage('empty settings show what the server does', async (page) => {
  await describe(page, { chat: true, sampling: { temperature: 0.800000012, top_k: 40 } });
  await page.keyboard.press('Control+,');
  const shown = (label) => page.getByLabel(label).getAttribute('placeholder');
  assert.deepEqual([await shown('Temperature'), await shown('Top-k'), await shown('Min-p')], ['0.8', '40', 'model’s own']);
  await page.getByLabel('Temperature').press('ArrowUp');
  await eventually(() => page.getByLabel('Temperature').inputValue(), '0.9');
});

onPage('an answer that breaks keeps what came', async (page) => {
  await record(page, stream([{ content: 'Half an ' }]), stream([{ content: 'answer' }], 'stop'));
  await say(page, 'Hello');
  await page.getByText('The connection was lost', { exact: true }).waitFor();
  await eventually(() => lastAnswer(page), 'Half an');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.locator('.prose', { hasText: 'Half ananswer' }).waitFor();
  await record(page, { contentType: 'text/event-stream', body: 'data: {"choices": [{"delta": {"content": "Oh"}}]}\n\ndata: {"error": {"message": "The engine ended.", "code": "internal_error"}}\n\ndata: [DONE]\n\n' });
  await say(page, 'Again');
  await page.getByText('The engine ended.', { exact: true }).waitFor();
  await eventually(() => lastAnswer(page), 'Oh');
});

onPage('several models are offered, and the choice is remembered', async (page) => {
  await page.route('**/v1/models', (route) => route.fulfill({ json: { data: [{ id: 'small' }, { id: 'large' }] } }));
  const bodies = await record(page, text('Hello'));
  await page.reload();
  await page.getByLabel('Model', { exact: true }).selectOption('large');
  await page.reload();
  await page.getByLabel('Model', { exact: true }).waitFor();
  await say(page, 'Hello');
  await answered(page);
  assert.equal(bodies[0].model, 'large');
});

onPage('a model that is still loaded is waited for', async (page) => {
  let state = 'loading';
  await page.route('**/health', (route) => route.fulfill({ status: state === 'ready' ? 200 : 503, json: { status: state } }));
  await page.reload();
  await page.getByText('The model is being loaded.').waitFor();
  state = 'ready';
  await page.locator('.dot.ready').waitFor();
  await eventually(() => page.getByText('The model is being loaded.').count(), 0);
});

onPage('an empty answer and one without an end are told', async (page) => {
  await record(page, stream([{ role: 'assistant', content: '' }], 'stop'));
  await say(page, 'Hello');
  await page.getByText('The model said nothing.').waitFor();
});

test('a server that goes away is told, and noticed when it is back', async (t) => {
  const proxy = await startProxy(server.address);
  const { page, context } = await openPage(browser, proxy.address);
  t.after(() => Promise.all([context.close(), proxy.goAway()]));
  await greedily(page);
  proxy.hold(12_000);
  await say(page, 'Go on');
  await page.waitForFunction(() => document.querySelector('.answer .prose')?.innerText.length > 20);
  await proxy.goAway();
  await page.getByText('The connection was lost', { exact: true }).waitFor();
  assert.ok((await stored(page)).length > 20);
  await page.getByText('The server cannot be reached. Trying again…').waitFor();
  await say(page, 'Are you there?');
  const problem = page.getByRole('group', { name: 'Problem' }).last();
  await problem.getByText('The server cannot be reached').waitFor();
  await proxy.comeBack();
  await page.locator('.dot.ready').waitFor();
  await problem.getByRole('button', { name: 'Retry' }).click();
  await answered(page, 2);
  assert.ok((await stored(page)).length > 20);
});
