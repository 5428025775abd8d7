// The server's public API: nothing else is called. Addresses are relative, so that the page also works below a path of a proxy.

import { events } from './events.ts';
import { Failure, fromServer, LOST, UNREACHABLE } from './problem.ts';
import type { Ask } from './request.ts';

/** What one chunk of an answer may bring. */
export interface Chunk {
  /** How many exchanges are not part of its prompt. */
  leftOut?: number;
  content?: string;
  reasoning?: string;
  calls?: CallPart[];
  finish?: string;
  usage?: { prompt_tokens?: number; completion_tokens?: number };
}

/** A piece of a call; `index` says of which. */
export interface CallPart {
  index?: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}

/** What the server says of a model. */
export interface About {
  /** Whether it has a chat template. */
  chat?: boolean;
  /** Tokens that prompt and answer may have together. */
  context?: number;
  /** How it samples where a request is silent. */
  sampling?: Record<string, number>;
}

export type Health = 'ready' | 'loading' | 'draining' | 'unreachable';

export async function health(): Promise<Health> {
  try {
    const { status } = (await (await fetch('health', { cache: 'no-store' })).json()) as { status?: string };
    return status === 'ready' || status === 'loading' || status === 'draining' ? status : 'ready';
  } catch {
    return 'unreachable';
  }
}

/** The names of the models. */
export async function models(): Promise<string[]> {
  const answer = await request('v1/models', {});
  const { data } = (await answer.json()) as { data?: { id: string }[] };
  return (data ?? []).map(({ id }) => id);
}

export async function about(model: string): Promise<About> {
  const answer = await request(`v1/models/${model.split('/').map(encodeURIComponent).join('/')}`, {});
  return (await answer.json()) as About;
}

/** Asks for an answer and yields what comes of it. Aborting the signal makes the server stop. */
export async function* answer({ address, body }: Ask, signal: AbortSignal): AsyncGenerator<Chunk> {
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal };
  const response = await request(address, init);
  let ended = false;
  try {
    for await (const data of events(response.body as ReadableStream<Uint8Array>)) {
      if (data === '[DONE]') return;
      const chunk = chunkOf(JSON.parse(data));
      ended ||= chunk.finish !== undefined;
      yield chunk;
    }
  } catch (thrown) {
    throw thrown instanceof Failure || signal.aborted ? thrown : new Failure(LOST);
  }
  if (!ended) throw new Failure(LOST);
}

async function request(address: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, init);
  } catch (thrown) {
    throw init.signal?.aborted ? thrown : new Failure(UNREACHABLE);
  }
  if (response.ok) return response;
  const body = (await response.json().catch(() => ({}))) as { error?: unknown };
  throw new Failure(fromServer(body.error, response.status));
}

interface WireChunk {
  error?: unknown;
  usage?: Chunk['usage'] | null;
  choices?: { delta?: WireDelta; text?: string; finish_reason?: string | null }[];
}

interface WireDelta {
  content?: string | null;
  reasoning_content?: string | null;
  reasoning?: string | null;
  tool_calls?: CallPart[] | null;
}

function chunkOf(wire: WireChunk): Chunk {
  if (wire.error) throw new Failure(fromServer(wire.error));
  const choice = wire.choices?.[0];
  const { content, reasoning_content, reasoning, tool_calls } = choice?.delta ?? {};
  const chunk: Chunk = {};
  const text = content || choice?.text;
  if (text) chunk.content = text;
  if (reasoning_content || reasoning) chunk.reasoning = (reasoning_content || reasoning) as string;
  if (tool_calls?.length) chunk.calls = tool_calls;
  if (choice?.finish_reason) chunk.finish = choice.finish_reason;
  if (wire.usage) chunk.usage = wire.usage;
  return chunk;
}
