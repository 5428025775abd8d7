// Asking for answers: send, stop, regenerate, edit, continue, give a tool's result. Several conversations may be answered at once.

import { computed, signal, type Signal } from '@preact/signals';
import { problemOf } from '../api/problem.ts';
import { ask as askFor, parameters, type Manner } from '../api/request.ts';
import { answer, type Chunk } from '../api/server.ts';
import { conversations, current, find, titleOf, update } from './conversations.ts';
import { Draft } from './draft.ts';
import { newId } from './id.ts';
import { notice } from './notice.ts';
import { settingsOpen } from './page.ts';
import { fitted, leftOut, roomOf } from './room.ts';
import { about, ask, model, plain, status } from './server.ts';
import { append, path, replace } from './tree.ts';
import type { Conversation, Message } from './types.ts';

/** An answer that is coming. */
export interface Run {
  message: Signal<Message>;
  abort: AbortController;
}

const runs = signal<ReadonlyMap<string, Run>>(new Map());

/** The answer that is coming in the shown conversation. */
export const run = computed(() => runs.value.get(current.value.id));

export function isAnswering(id: string): boolean {
  return runs.value.has(id);
}

/** Says something and asks for an answer. Gives whether it could be sent. */
export function send(text: string): boolean {
  const { id, leaf } = current.value;
  return say(id, { id: newId(), parent: leaf, role: 'user', content: text.trim() });
}

/** Says something else instead of `message`; both remain as versions. */
export function edit(message: Message, text: string): boolean {
  return say(current.value.id, { id: newId(), parent: message.parent, role: 'user', content: text.trim() });
}

/** Another answer to the same. One that failed before it began is replaced. */
export function regenerate(message: Message) {
  const { id } = current.value;
  if (!ready(id)) return;
  if (!message.content && !message.reasoning && !message.calls) update(id, (before) => without(before, message));
  request(id, { id: newId(), parent: message.parent, role: 'assistant', content: '' });
}

/** Goes on with an answer that was cut. */
export function resume(message: Message) {
  const { id } = current.value;
  if (!ready(id)) return;
  const { finish, problem, timings, leftOut: _, plain: __, ...rest } = message;
  request(id, { ...rest, content: message.content.trimEnd() }, true);
}

/** Answers the calls of an assistant's message, in their order. */
export function giveResults(message: Message, results: Pick<Message, 'content' | 'name' | 'callId'>[]) {
  const { id } = current.value;
  if (!ready(id)) return;
  let parent = message.id;
  for (const result of results) {
    const next: Message = { id: newId(), parent, role: 'tool', ...result };
    update(id, (before) => append(before, next));
    parent = next.id;
  }
  request(id, { id: newId(), parent, role: 'assistant', content: '' });
}

export function stop(id = current.value.id) {
  runs.value.get(id)?.abort.abort();
}

function say(id: string, message: Message): boolean {
  if (!message.content || !ready(id)) return false;
  update(id, (before) => {
    const title = before.named || before.messages.length > 0 ? before.title : titleOf(message.content);
    return { ...append(before, message), title };
  });
  request(id, { id: newId(), parent: message.id, role: 'assistant', content: '' });
  return true;
}

/** Whether a request can be made: nothing else is coming here, and the settings are right. */
function ready(id: string): boolean {
  const { problems } = parameters(find(id)?.settings ?? {}, plain.value);
  if (Object.keys(problems).length > 0) {
    settingsOpen.value = true;
    notice('Something in the settings is not right yet.');
    return false;
  }
  return !isAnswering(id);
}

function without(conversation: Conversation, message: Message): Conversation {
  const messages = conversation.messages.filter(({ id }) => id !== message.id);
  return { ...conversation, messages, leaf: message.parent };
}

/** Puts the answer into the conversation and lets it grow there. */
function request(id: string, message: Message, continues = false) {
  const begun = { ...message, ...(model.value && { model: model.value }), ...(plain.value && { plain: true }) };
  update(id, (before) => (continues ? replace(before, begun) : append(before, begun)));
  const conversation = find(id);
  if (!conversation) return;
  const messages = path(conversation, continues ? message.id : message.parent);
  const manner = { model: model.value ?? 'default', settings: conversation.settings, plain: plain.value, continues };
  const left = tooMany(messages, manner);
  void grow(id, begun, (stopped) => fitted(messages, left, (some) => answer(askFor(manner, some), stopped)));
}

/** How many exchanges the context has no room for, as far as can be told before the server is asked. */
function tooMany(messages: Message[], manner: Manner): number {
  const { context } = about.value;
  if (context === undefined) return 0;
  const weigh = (some: Message[]) => JSON.stringify(askFor(manner, some).body).length;
  const most = askFor(manner, messages).body['max_tokens'] as number | undefined;
  return leftOut(messages, roomOf(context, most), weigh);
}

async function grow(id: string, message: Message, chunks: (stopped: AbortSignal) => AsyncIterable<Chunk>) {
  const draft = new Draft(message, () => performance.now());
  const coming: Run = { message: signal(message), abort: new AbortController() };
  runs.value = new Map(runs.value).set(id, coming);
  const shown = paced(() => (coming.message.value = draft.message()));
  const keep = setInterval(() => store(id, draft.message()), KEEP_MS);
  try {
    for await (const chunk of chunks(coming.abort.signal)) {
      draft.take(chunk);
      shown.soon();
    }
    store(id, draft.message());
  } catch (thrown) {
    store(id, coming.abort.signal.aborted ? draft.end('stopped') : draft.end('failed', problemOf(thrown)));
    if (!coming.abort.signal.aborted) void lookAfter();
  } finally {
    shown.cancel();
    clearInterval(keep);
    const others = new Map(runs.value);
    others.delete(id);
    runs.value = others;
  }
}

/** How often an answer is stored while it comes. */
const KEEP_MS = 1000;

function store(id: string, message: Message) {
  update(id, (before) => replace(before, message));
}

async function lookAfter() {
  if (status.value === 'ready') await ask();
}

/** Calls at most once a frame; at once where there are no frames. */
function paced(act: () => void) {
  let frame = 0;
  const now = () => {
    frame = 0;
    act();
  };
  return {
    soon: () => {
      if (document.hidden) now();
      else frame ||= requestAnimationFrame(now);
    },
    cancel: () => cancelAnimationFrame(frame),
  };
}

addEventListener('pagehide', () => {
  for (const [id, { message, abort }] of runs.value) {
    abort.abort();
    if (conversations.value.some((entry) => entry.id === id)) store(id, { ...message.value, finish: 'stopped' });
  }
});
