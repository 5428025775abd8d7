// A call: the request that was filled in, and its answer as it comes.

import { bodyOf, type Operation, type Parameter } from './document.ts';
import { key } from './store.ts';

/** What was filled in. */
export interface Filled {
  /** Parameters and fields of a form, by name. */
  values: Record<string, string>;
  files: Record<string, File>;
  body: string;
}

export interface Answer {
  status: number;
  media: string;
  /** Milliseconds until its first byte, and until its last if that has come. */
  first: number;
  total?: number;
  text: string;
}

/** Characters of an answer that are shown at most. */
const MOST = 400_000;

/** The address of a call, relative so that the page also works below a path of a proxy. */
export function address({ path, parameters = [] }: Operation, values: Record<string, string>): string {
  const filled = path.replace(/\{([^}]*)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''));
  const asked = new URLSearchParams(parameters.filter((one) => inQuery(one) && values[one.name]).map(({ name }) => [name, values[name] ?? '']));
  return filled.slice(1) + (asked.size > 0 ? `?${asked}` : '');
}

export function inQuery(parameter: Parameter): boolean {
  return parameter.in === 'query';
}

/** Sends a call, and tells of its answer whenever more of it has come. Aborting the signal makes the server stop. */
export async function send(operation: Operation, filled: Filled, signal: AbortSignal, told: (answer: Answer) => void): Promise<void> {
  const began = performance.now();
  const response = await fetch(address(operation, filled.values), { method: operation.method, signal, cache: 'no-store', ...request(operation, filled) });
  const answer: Answer = { status: response.status, media: response.headers.get('Content-Type') ?? '', first: performance.now() - began, text: '' };
  told(answer);
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let text = '';
  for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
    if (text.length < MOST) text += decoder.decode(read.value, { stream: true });
    told({ ...answer, text });
  }
  told({ ...answer, text: pretty(text, answer.media), total: performance.now() - began });
}

function request(operation: Operation, { values, files, body }: Filled): RequestInit {
  const headers: Record<string, string> = key.value ? { Authorization: `Bearer ${key.value}` } : {};
  const described = bodyOf(operation);
  if (!described) return { headers };
  if (described.media !== 'multipart/form-data') return { headers: { ...headers, 'Content-Type': described.media }, body };
  const form = new FormData();
  for (const name of Object.keys(described.schema.properties ?? {})) {
    const value = files[name] ?? values[name];
    if (value) form.append(name, value);
  }
  return { headers, body: form };
}

function pretty(text: string, media: string): string {
  if (!media.startsWith('application/json')) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
