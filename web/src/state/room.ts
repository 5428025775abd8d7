// What of a conversation the model's context has room for: where it is full, the oldest exchanges are left out.

import { Failure } from '../api/problem.ts';
import type { Chunk } from '../api/server.ts';
import type { Message } from './types.ts';

/** Where exchanges begin: at what the person says. */
function starts(messages: Message[]): number[] {
  return messages.flatMap(({ role }, at) => (role === 'user' ? [at] : []));
}

/** The messages without the first `left` exchanges. */
export function rest(messages: Message[], left: number): Message[] {
  return left === 0 ? messages : messages.slice(starts(messages)[left]);
}

/**
 * How many exchanges to leave out so that the prompt has at most `room` tokens; never the last one. The tokens are guessed from
 * `weigh`, a measure of what would be sent, by what the last answer's prompt weighed and what the server counted for it.
 */
export function leftOut(messages: Message[], room: number, weigh: (messages: Message[]) => number): number {
  const at = messages.findLastIndex(({ timings }) => timings?.promptTokens);
  const last = messages[at];
  if (!last?.timings?.promptTokens) return 0;
  const tokens = last.timings.promptTokens / weigh(rest(messages.slice(0, at), last.leftOut ?? 0));
  const most = starts(messages).length - 1;
  let left = 0;
  while (left < most && weigh(rest(messages, left)) * tokens > room) left += 1;
  return left;
}

/** What an answer of up to `most` tokens leaves of the context for its prompt: an eighth of it is kept, if it may be that long. */
export function roomOf(context: number, most = context): number {
  return context - Math.min(most, Math.floor(context / 8));
}

/** Asks for an answer without the first `left` exchanges, and without more while the server finds the prompt too long. */
export async function* fitted(messages: Message[], left: number, ask: (messages: Message[]) => AsyncIterable<Chunk>): AsyncGenerator<Chunk> {
  const most = starts(messages).length - 1;
  for (; ; left += 1) {
    try {
      if (left > 0) yield { leftOut: left };
      yield* ask(rest(messages, left));
      return;
    } catch (thrown) {
      if (!isTooLong(thrown) || left >= most) throw thrown;
    }
  }
}

function isTooLong(thrown: unknown): boolean {
  return thrown instanceof Failure && thrown.problem.code === TOO_LONG;
}

/** The server's code for a prompt that the context has no room for. */
export const TOO_LONG = 'context_length_exceeded';
