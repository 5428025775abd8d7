// The connection to the server: its messages as they come, again after it was lost. A key goes with what is asked where one is needed.

import { events } from '../api/events.ts';
import type { History, Labels, Message } from './wire.ts';

export type Link = 'connecting' | 'live' | 'lost' | 'refused';

/** Before trying again, in milliseconds. */
const AGAIN_MS = 1500;

const KEY = 'whinchat.key';

export interface Listener {
  message(message: Message): void;
  link(link: Link, why?: string): void;
}

/** Listens until the signal is aborted, or the server refuses. */
export async function listen(listener: Listener, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const response = await ask('v1/telemetry/stream', signal);
      if (!response.ok) {
        if (response.status < 500) return listener.link('refused', await why(response));
      } else {
        await hear(response, listener);
      }
    } catch {
      // Whatever it was, the server is asked again.
    }
    if (signal.aborted) return;
    listener.link('lost');
    await pause(signal);
  }
}

async function hear(response: Response, listener: Listener) {
  listener.link('live');
  for await (const data of events(response.body as ReadableStream<Uint8Array>)) listener.message(JSON.parse(data) as Message);
}

/** What the server remembers of an engine, or of all together, after a time in seconds since 1970. */
export async function history(of: Labels | undefined, since: number): Promise<History | undefined> {
  const whose = of ? { model: of.model, variant: of.variant, device: of.device } : { together: 'true' };
  const asked = new URLSearchParams({ ...whose, since: String(since) });
  const response = await ask(`v1/telemetry/history?${asked}`).catch(() => undefined);
  if (!response?.ok) return undefined;
  const { engines } = (await response.json()) as { engines: History[] };
  return engines[0];
}

/** From now on this key goes with what is asked; it is forgotten with the tab. */
export function useKey(key: string) {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // A browser that forbids storage: the key holds until the page is left.
  }
  held = key;
}

let held = stored();

function stored(): string {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
}

function ask(address: string, signal?: AbortSignal): Promise<Response> {
  return fetch(address, { cache: 'no-store', headers: held ? { Authorization: `Bearer ${held}` } : {}, signal: signal ?? null });
}

async function why(response: Response): Promise<string> {
  const body = (await response.json().catch(() => ({}))) as { error?: { message?: unknown } };
  return typeof body.error?.message === 'string' ? body.error.message : `The server answered ${response.status}.`;
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, AGAIN_MS);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
