// The page to try calls, with a real server in a real browser.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { startBrowser } from './support/browser.mjs';
import { eventually } from './support/chat.mjs';
import { startServer, TINY } from './support/server.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const whole = await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8');

const desk = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer({ model: TINY, args: ['--alias', 'tiny', '--admin', '--allow-faults'] }), startBrowser()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A test on a page of its own, which must not complain. */
function onDocs(name, run, { prepare, ...options } = {}) {
  test(name, async (t) => {
    const context = await browser.newContext({ reducedMotion: 'reduce', viewport: desk, ...options });
    t.after(() => context.close());
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    const complaints = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) complaints.push(message.text());
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(server.address)) complaints.push(`asked for ${request.url()}`);
    });
    await prepare?.(page);
    await page.goto(`${server.address}/docs`);
    await page.getByRole('heading', { name: 'OpenAI' }).waitFor();
    await run(page);
    assert.deepEqual(complaints, []);
  });
}

/** Opens a call; gives where it is. */
async function open(page, call) {
  const place = page.locator('details.call').filter({ has: page.locator('summary', { hasText: call }) }).first();
  await place.locator('summary').first().click();
  await place.getByRole('button', { name: 'Send' }).waitFor();
  return place;
}

onDocs('every operation of the document is there', async (page) => {
  const { paths } = await (await fetch(`${server.address}/openapi.json`)).json();
  const wanted = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  const found = await page.locator('details.call > summary').evaluateAll((all) => all.map((one) => `${one.children[0].textContent} ${one.children[1].textContent}`));
  assert.deepEqual(found.sort(), wanted.sort());
});

onDocs('a call is sent, and its answer is shown', async (page) => {
  const call = await open(page, '/tokenize');
  await call.getByLabel('Body').fill('{ "prompt": "abc" }');
  await call.getByRole('button', { name: 'Send' }).click();
  await call.getByText(/^200 · application\/json · \d+ ms$/).waitFor();
  const { count, tokens } = JSON.parse(await call.getByLabel('Answer').innerText());
  assert.ok(count > 0 && count === tokens.length, `${count} tokens: ${tokens}`);
  await call.getByLabel('Body').fill('{');
  await call.getByRole('button', { name: 'Send' }).click();
  await call.getByText(/^400 · application\/json/).waitFor();
  assert.match(await call.getByLabel('Answer').innerText(), /invalid_json/);
});

onDocs('the example of a chat is a stream, which can be stopped', async (page) => {
  const call = await open(page, '/v1/completions');
  await call.getByRole('button', { name: 'Send' }).click();
  await call.getByText(/^200 · text\/event-stream · \d+ ms$/).waitFor();
  assert.match(await call.getByLabel('Answer').innerText(), /data: .*"text_completion"[^]*data: \[DONE\]/);
  // So slow that it does not end before it is stopped.
  const slow = { kind: 'slow_stream', seconds: 60, milliseconds: 500, match: { path: '/v1/completions' } };
  const injected = await fetch(`${server.address}/admin/faults`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(slow) });
  assert.equal(injected.status, 200);
  await call.getByLabel('Body').fill('{ "prompt": "a", "max_tokens": 200, "ignore_eos": true, "stream": true }');
  await call.getByRole('button', { name: 'Send' }).click();
  await call.getByLabel('Answer').getByText('data:').first().waitFor();
  await call.getByRole('button', { name: 'Stop' }).click();
  await call.getByText('Stopped.').waitFor();
  await fetch(`${server.address}/admin/faults`, { method: 'DELETE' });
});

onDocs('parts of the path and of the address are filled in, and the key goes along', async (page) => {
  const asked = [];
  await page.route(/\/v1\/(models|responses)\//, (route) => {
    const { pathname, search } = new URL(route.request().url());
    asked.push([pathname + search, route.request().headers()['authorization']]);
    return route.continue();
  });
  await page.getByLabel('Key').fill('wc-key');
  const model = await open(page, '/v1/models/{id}');
  await model.getByLabel('id').fill('tiny');
  await model.getByRole('button', { name: 'Send' }).click();
  await model.getByText(/^200 ·/).waitFor();
  assert.match(await model.getByLabel('Answer').innerText(), /"id": "tiny"/);
  const items = await open(page, '/v1/responses/{id}/input_items');
  await items.getByLabel('id').fill('a/b');
  await items.getByLabel('limit').fill('3');
  await items.getByRole('button', { name: 'Send' }).click();
  await items.getByText(/^404 ·/).waitFor();
  assert.deepEqual(asked, [['/v1/models/tiny', 'Bearer wc-key'], ['/v1/responses/a%2Fb/input_items?limit=3', 'Bearer wc-key']]);
});

onDocs('fields are told with their types, and words find calls', async (page) => {
  const call = await open(page, 'POST/v1/chat/completions');
  await call.getByText(/^Fields \(\d+\)$/).click();
  assert.match(await call.getByRole('row', { name: /^n integer/ }).innerText(), /integer 1 to 128/);
  assert.match(await call.getByRole('row', { name: /^messages/ }).innerText(), /array of ChatMessage.*required/);
  await call.getByText('Answers', { exact: true }).click();
  await call.getByText('queue_full').first().waitFor();
  await page.getByLabel('Search').fill('count tokens');
  await eventually(() => page.locator('details.call > summary code').allInnerTexts(), ['/v1/responses/input_tokens', '/v1/messages/count_tokens']);
  await page.getByLabel('Search').fill('nothing of this kind');
  await page.getByText('No call has these words.').waitFor();
});

onDocs(
  'a file is sent as a form',
  async (page) => {
    const forms = [];
    await page.route('**/v1/files', (route) => {
      forms.push(route.request().postData());
      return route.fulfill({ json: { id: 'file-1' } });
    });
    const call = await open(page, 'POST/v1/files');
    await call.getByLabel('purpose').fill('batch');
    await call.locator('input[type=file]').setInputFiles({ name: 'a.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from('{"custom_id":"1"}\n') });
    await call.getByRole('button', { name: 'Send' }).click();
    await call.getByText(/^200 ·/).waitFor();
    assert.match(forms[0], /name="purpose"\r\n\r\nbatch\r\n[^]*filename="a\.jsonl"[^]*\{"custom_id":"1"\}/);
  },
  { prepare: (page) => page.route('**/openapi.json', (route) => route.fulfill({ contentType: 'application/json', body: whole })) },
);

for (const [colorScheme, viewport] of [['light', desk], ['dark', desk], ['light', phone], ['dark', phone]]) {
  onDocs(
    `${colorScheme}, ${viewport.width} wide: nothing is out of reach, and nothing wider than the page`,
    async (page) => {
      const call = await open(page, '/v1/embeddings');
      await call.getByRole('button', { name: 'Send' }).click();
      await call.getByLabel('Answer').waitFor();
      await call.getByText(/^Fields \(\d+\)$/).click();
      await call.getByText('Answers', { exact: true }).click();
      await open(page, '/v1/telemetry/predict');
      await page.evaluate(axe);
      const found = await page.evaluate(async () => {
        const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
        return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)}\n${failureSummary}`));
      });
      assert.deepEqual(found, []);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= viewport.width);
    },
    { colorScheme, viewport, bypassCSP: true },
  );
}
