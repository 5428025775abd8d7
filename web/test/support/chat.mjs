// What tests do on the page, in the words of a person.
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

/** How long anything may take before a test fails rather than hangs. */
const DEADLINE_MS = 60_000;

/** Reads again and again until it is as expected: a page is drawn a moment after a key was pressed. */
export async function eventually(read, expected) {
  const end = Date.now() + DEADLINE_MS;
  let found = await read();
  while (!isDeepStrictEqual(found, expected) && Date.now() < end) {
    await setImmediate();
    found = await read();
  }
  assert.deepEqual(found, expected);
}

/** The id of what has the focus. */
export function focused(page) {
  return page.evaluate(() => document.activeElement?.id);
}

/** Says something. */
export async function say(page, text) {
  await page.getByRole('textbox', { name: 'Message' }).fill(text);
  await page.keyboard.press('Enter');
}

/** Makes answers the same each time, and long with the model of random numbers. */
export async function greedily(page) {
  await page.keyboard.press('Control+,');
  await page.getByLabel('Temperature').fill('0');
  await page.keyboard.press('Escape');
}

/** The text of the last answer as it came. */
export function stored(page) {
  return page.evaluate(() => {
    const chats = Object.keys(localStorage).filter((key) => key.startsWith('whinchat.chat.')).map((key) => JSON.parse(localStorage.getItem(key)));
    return chats.sort((a, b) => b.updated - a.updated)[0].messages.at(-1).content;
  });
}

/** Waits until so many answers stand there and none is coming. */
export async function answered(page, count = 1) {
  await page.waitForFunction(
    (wanted) => document.querySelectorAll('.answer[aria-busy=false]').length === wanted && !document.querySelector('[aria-busy=true]'),
    count,
  );
}

/** The text of the last answer. */
export function lastAnswer(page) {
  return page.locator('.answer').last().locator(':scope > .prose').innerText();
}

/** From now on requests for answers get these, one after the other; the last again and again. Gives the bodies that were sent. */
export function record(page, ...answers) {
  return recordAt(page, '**/v1/chat/completions', ...answers);
}

/** The same at another address. */
export async function recordAt(page, address, ...answers) {
  const bodies = [];
  await page.unroute(address).catch(() => {});
  await page.route(address, async (route) => {
    const answer = answers[Math.min(bodies.length, answers.length - 1)];
    bodies.push(route.request().postDataJSON());
    await route.fulfill(typeof answer === 'function' ? answer() : answer);
  });
  return bodies;
}

/** A whole streamed answer with this text. */
export function text(content, { finish = 'stop', prompt = 12, answer = 34 } = {}) {
  return stream([{ content }], finish, { prompt_tokens: prompt, completion_tokens: answer });
}

/** A streamed answer of these deltas. Without `finish` the connection ends too soon. */
export function stream(deltas, finish, usage) {
  return streamOf(deltas.map((delta) => ({ delta })), finish, usage);
}

/** A streamed continuation of a text. */
export function continuation(...pieces) {
  return streamOf(pieces.map((text) => ({ text })), 'length', { prompt_tokens: 5, completion_tokens: 7 });
}

function streamOf(choices, finish, usage) {
  const events = choices.map((choice) => ({ choices: [{ index: 0, ...choice }] }));
  if (finish) events.push({ choices: [{ index: 0, delta: {}, finish_reason: finish }] });
  if (usage) events.push({ choices: [], usage });
  const lines = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
  return { contentType: 'text/event-stream', body: finish ? `${lines}data: [DONE]\n\n` : lines };
}

/** From now on, after a reload, the server says this of its model. */
export async function describe(page, about) {
  await page.route('**/v1/models/*', (route) => route.fulfill({ json: about }));
  await page.reload();
  await page.locator('.dot.ready').waitFor();
}

/** An error as the server answers it. */
export function refusal(status, code, message) {
  return { status, contentType: 'application/json', body: JSON.stringify({ error: { message, type: 'server_error', param: null, code } }) };
}

/** Waits until so much of the answer that is coming is shown. */
export async function shown(page, length = 20) {
  await page.waitForFunction((wanted) => document.querySelector('.answer[aria-busy=true] .prose')?.innerText.length > wanted, length);
}
