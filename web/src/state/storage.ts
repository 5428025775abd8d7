// What is kept in the browser: conversations, one entry each, and choices about the page. Nothing leaves it.

import type { Conversation } from './types.ts';

const CHAT = 'whinchat.chat.';
const PAGE = 'whinchat.page.';

/** A browser that forbids storage still gets a page; it forgets when it is closed. */
const store = storage();

function storage(): Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> & { keys(): string[] } {
  const memory = new Map<string, string>();
  try {
    const real = localStorage;
    return {
      getItem: (key) => real.getItem(key),
      setItem: (key, text) => real.setItem(key, text),
      removeItem: (key) => real.removeItem(key),
      keys: () => Object.keys(real),
    };
  } catch {
    return {
      getItem: (key) => memory.get(key) ?? null,
      setItem: (key, text) => void memory.set(key, text),
      removeItem: (key) => void memory.delete(key),
      keys: () => [...memory.keys()],
    };
  }
}

/** Every conversation, the last used first. What cannot be read is left where it is. */
export function loadAll(): Conversation[] {
  const keys = store.keys().filter((key) => key.startsWith(CHAT));
  const found = keys.map((key) => load(key.slice(CHAT.length))).filter((entry) => entry !== undefined);
  return found.sort((a, b) => b.updated - a.updated);
}

export function load(id: string): Conversation | undefined {
  try {
    const entry = JSON.parse(store.getItem(CHAT + id) ?? 'null') as Conversation | null;
    return entry && Array.isArray(entry.messages) ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** Whether it could be stored: browsers give a page about five megabytes. */
export function save(conversation: Conversation): boolean {
  return put(CHAT + conversation.id, JSON.stringify(conversation));
}

export function forget(id: string) {
  store.removeItem(CHAT + id);
}

export function choice(name: string): string {
  return store.getItem(PAGE + name) ?? '';
}

export function choose(name: string, value: string) {
  if (value) put(PAGE + name, value);
  else store.removeItem(PAGE + name);
}

/** Calls back with the id of each conversation that another tab changes. */
export function watch(changed: (id: string) => void) {
  addEventListener('storage', ({ key }) => {
    if (key?.startsWith(CHAT)) changed(key.slice(CHAT.length));
  });
}

function put(key: string, text: string): boolean {
  try {
    store.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}
