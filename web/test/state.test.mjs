// What the page computes without a browser: events, settings, versions, timings.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './support/modules.mjs';

const { events } = await load('api/events.ts');
const { ask, parameters, wire } = await load('api/request.ts');
const { leftOut, rest, roomOf } = await load('state/room.ts');
const { EXAMPLE_TOOLS } = await load('state/fields.ts');
const { path, versions, append, show } = await load('state/tree.ts');
const { Draft } = await load('state/draft.ts');
const { sentences } = await load('text/sentences.ts');
const { duration, rate } = await load('text/format.ts');

test('events come whole, however their bytes are cut', async () => {
  const bytes = new TextEncoder().encode('data: {"a": "é"}\r\n\r\n: a comment\n\ndata: one\ndata: two\n\ndata: [DONE]\n\ndata: cut');
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const found = [];
    for await (const data of events(body)) found.push(data);
    assert.deepEqual(found, ['{"a": "é"}', 'one\ntwo', '[DONE]'], `cut by ${size}`);
  }
});

function checkParameters(settings, body, problems = {}) {
  assert.deepEqual(parameters(settings), { body, problems });
}

test('settings become parameters, and what is wrong is told', () => {
  checkParameters({ temperature: '', system: 'x' }, {});
  checkParameters({ temperature: '0,7', top_k: '-1', seed: '-5', max_tokens: '1' }, { temperature: 0.7, top_k: -1, seed: -5, max_tokens: 1 });
  checkParameters({ stop: '\nEND\n\\n\\n\na\\\\n' }, { stop: ['END', '\n\n', 'a\\n'] });
  checkParameters({ temperature: '-1', top_p: '2' }, {}, { temperature: 'Write 0 or more.', top_p: 'Write a number from 0 to 1.' });
  checkParameters({ top_k: '1.5', seed: 'x' }, {}, { top_k: 'Write a whole number.', seed: 'Write a number.' });
  checkParameters({ variables: '{"a": 1}' }, { chat_template_kwargs: { a: 1 } });
  checkParameters({ variables: '[1]' }, {}, { variables: 'Write an object: {"name": value}.' });
  checkParameters({ tools: EXAMPLE_TOOLS }, { tools: JSON.parse(EXAMPLE_TOOLS) });
  checkParameters({ tools: '{"name": "f"}' }, { tools: [{ type: 'function', function: { name: 'f' } }] });
  checkParameters({ tools: '[]' }, {});
  checkParameters({ tools: '[{"type": "function", "function": {}}]' }, {}, { tools: 'Tool 1 needs a name.' });
  checkParameters({ tools: '[{"name": "f"}, 5]' }, {}, { tools: 'Tool 2 must be an object.' });
  assert.match(parameters({ tools: '[{' }).problems.tools, /^This is no JSON: /);
});

const message = (id, parent, role, more = {}) => ({ id, parent, role, content: id, ...more });

test('messages are sent as the API takes them', () => {
  const messages = [
    message('u', null, 'user'),
    message('a', 'u', 'assistant', { content: '', calls: [{ id: 'c1', name: 'f', arguments: '{}' }], reasoning: 'hm' }),
    message('t', 'a', 'tool', { callId: 'c1', name: 'f' }),
    message('e', 't', 'assistant', { content: '' }),
    message('b', 'e', 'assistant', { calls: [{ id: 'c2', name: 'g', arguments: '{"a": ' }, { id: 'c3', name: 'h', arguments: '' }] }),
    message('c', 'b', 'assistant', { content: '', calls: [{ id: 'c4', name: 'g', arguments: '{"a": ' }] }),
  ];
  assert.deepEqual(wire({ system: ' be kind ' }, messages), [
    { role: 'system', content: 'be kind' },
    { role: 'user', content: 'u' },
    { role: 'assistant', content: null, reasoning_content: 'hm', tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }] },
    { role: 'tool', content: 't', tool_call_id: 'c1', name: 'f' },
    { role: 'assistant', content: 'b', tool_calls: [{ id: 'c3', type: 'function', function: { name: 'h', arguments: '{}' } }] },
  ]);
});

test('a text is all that was said', () => {
  const manner = { model: 'm', settings: { system: 'x', tools: '[{', temperature: '0' }, plain: true, continues: false };
  const messages = [message('u1', null, 'user'), message('a1', 'u1', 'assistant', { content: ' and\n' }), message('u2', 'a1', 'user')];
  const { address, body } = ask(manner, messages);
  assert.equal(address, 'v1/completions');
  assert.deepEqual(body, { model: 'm', prompt: 'u1 and\n\nu2', max_tokens: 256, temperature: 0, stream: true, stream_options: { include_usage: true } });
});

/** A conversation of these contents, people's in turn with answers; an answer has its prompt's tokens. */
function conversation(...entries) {
  return entries.map((content, i) => (i % 2 === 0 ? message(`u${i}`, null, 'user', { content }) : message(`a${i}`, null, 'assistant', content)));
}

function checkLeftOut(messages, room, expected) {
  const length = (some) => some.reduce((sum, { content }) => sum + content.length, 0);
  assert.equal(leftOut(messages, room, length), expected);
}

test('the oldest exchanges are left out where the room is small', () => {
  const answer = (content, promptTokens, left) => ({ content, timings: { promptTokens }, ...(left && { leftOut: left }) });
  const two = conversation('u'.repeat(10), answer('a'.repeat(10), 5), 'v'.repeat(20));
  checkLeftOut(two, 20, 0);
  checkLeftOut(two, 19, 1);
  checkLeftOut(two, 1, 1);
  checkLeftOut(conversation('u'.repeat(99)), 1, 0);
  const three = conversation('u'.repeat(10), answer('a'.repeat(10), 5), 'v'.repeat(20), answer('b'.repeat(20), 10, 1), 'w'.repeat(20));
  checkLeftOut(three, 40, 0);
  checkLeftOut(three, 39, 1);
  checkLeftOut(three, 29, 2);
  assert.deepEqual(rest(three, 1).map(({ id }) => id), ['u2', 'a3', 'u4']);
  assert.deepEqual([roomOf(64), roomOf(64, 4), roomOf(7)], [56, 60, 7]);
});

test('versions are kept, and the newest path through one is shown', () => {
  let chat = { id: 'c', messages: [], leaf: null };
  for (const entry of [message('u1', null, 'user'), message('a1', 'u1', 'assistant'), message('a2', 'u1', 'assistant'), message('u2', null, 'user'), message('a3', 'u2', 'assistant')]) chat = append(chat, entry);
  const ids = (messages) => messages.map(({ id }) => id).join(' ');
  assert.equal(ids(path(chat)), 'u2 a3');
  assert.equal(ids(versions(chat, chat.messages[0])), 'u1 u2');
  assert.equal(ids(versions(chat, chat.messages[1])), 'a1 a2');
  assert.equal(ids(path(show(chat, 'u1'))), 'u1 a2');
  assert.equal(ids(path(show(chat, 'a1'))), 'u1 a1');
});

test('an answer grows, and its times are taken', () => {
  let time = 1000;
  const draft = new Draft(message('a', 'u', 'assistant', { content: '' }), () => time);
  const take = (at, chunk) => {
    time = 1000 + at;
    draft.take(chunk);
    return draft.message();
  };
  assert.deepEqual(take(10, {}).timings, {});
  assert.equal(take(200, { reasoning: 'hm' }).reasoningMs, undefined);
  assert.equal(take(500, { content: 'Hel' }).reasoningMs, 300);
  take(600, { content: 'lo', finish: 'length' });
  const done = take(700, { usage: { prompt_tokens: 3, completion_tokens: 5 } });
  assert.deepEqual(done, { id: 'a', parent: 'u', role: 'assistant', content: 'Hello', reasoning: 'hm', reasoningMs: 300, finish: 'length', timings: { firstMs: 200, restMs: 400, promptTokens: 3, answerTokens: 5 } });
  assert.equal(draft.end('failed', { title: 't', message: 'm' }).problem.title, 't');
});

test('calls come in pieces', () => {
  let time = 0;
  const draft = new Draft(message('a', 'u', 'assistant', { content: '' }), () => (time += 10));
  draft.take({ reasoning: 'hm' });
  for (const part of [{ index: 0, id: 'x', function: { name: 'f', arguments: '{"a"' } }, { index: 0, function: { arguments: ': 1}' } }, { index: 1, id: 'y', function: { name: 'g' } }]) draft.take({ calls: [part] });
  const { calls, reasoningMs } = draft.message();
  assert.deepEqual(calls, [{ id: 'x', name: 'f', arguments: '{"a": 1}' }, { id: 'y', name: 'g', arguments: '' }]);
  assert.equal(reasoningMs, 10);
});

test('numbers and sentences for people', () => {
  assert.deepEqual([0.4, 84.2, 999.6, 12_345, 125_000].map(duration), ['0 ms', '84 ms', '1.0 s', '12.3 s', '2 min 5 s']);
  assert.deepEqual([4.56, 99.96, 1234.5].map(rate), ['4.6', '100.0', '1,235']);
  assert.deepEqual(sentences('One. Two', 0), ['One.', 4]);
  assert.deepEqual(sentences('One. Two', 5), ['', 5]);
  assert.deepEqual(sentences('One. Two\nThree', 5), ['Two', 9]);
});
