// The conversations, and which is shown. The address has the shown one's id, so that going back and reloading work.

import { computed, signal } from '@preact/signals';
import { newId } from './id.ts';
import { notice } from './notice.ts';
import * as storage from './storage.ts';
import type { Conversation } from './types.ts';

export const conversations = signal<Conversation[]>(storage.loadAll());

/** Not stored before something is said in it. */
const fresh = signal<Conversation>(empty());

const shownId = signal(location.hash.slice(1));

export const current = computed(
  () => conversations.value.find(({ id }) => id === shownId.value) ?? fresh.value,
);

/** Whether what is shown has not begun. */
export const isFresh = computed(() => current.value === fresh.value);

function empty(settings = {}): Conversation {
  return { id: newId(), title: '', named: false, updated: 0, settings, messages: [], leaf: null };
}

/** A conversation by its id, also the one that has not begun. */
export function find(id: string): Conversation | undefined {
  return fresh.value.id === id ? fresh.value : conversations.value.find((entry) => entry.id === id);
}

/** Begins a new conversation with the settings of the shown one. */
export function startNew() {
  fresh.value = empty(current.value.settings);
  open('');
}

export function open(id: string) {
  if (location.hash.slice(1) !== id) history.pushState(null, '', id ? `#${id}` : location.pathname + location.search);
  shownId.value = id;
}

/** Changes a conversation and stores it if it has begun. */
export function update(id: string, change: (before: Conversation) => Conversation) {
  const before = find(id);
  if (!before) return;
  const after = change(before);
  if (before === fresh.value && after.messages.length === 0) {
    fresh.value = after;
    return;
  }
  const rest = conversations.value.filter((entry) => entry.id !== id);
  conversations.value = [after, ...rest].sort((a, b) => b.updated - a.updated);
  if (before === fresh.value) {
    const wasShown = isShown(before);
    fresh.value = empty(after.settings);
    if (wasShown) open(id);
  }
  if (!storage.save(after)) notice('The browser’s storage is full: delete conversations to keep new ones.');
}

function isShown(entry: Conversation): boolean {
  return entry === fresh.value && !conversations.value.some(({ id }) => id === shownId.value);
}

export function rename(id: string, title: string) {
  update(id, (before) => ({ ...before, title: title.trim() || before.title, named: true }));
}

/** Deletes a conversation; the notice about it can bring it back. */
export function remove(id: string) {
  const gone = find(id);
  if (!gone) return;
  const wasShown = current.value.id === id;
  storage.forget(id);
  conversations.value = conversations.value.filter((entry) => entry.id !== id);
  if (wasShown) startNew();
  notice(`“${gone.title}” is deleted.`, {
    label: 'Undo',
    run: () => {
      conversations.value = [gone, ...conversations.value].sort((a, b) => b.updated - a.updated);
      storage.save(gone);
      if (wasShown) open(id);
    },
  });
}

/** A title from what was said first. */
export function titleOf(text: string): string {
  const line = text.trim().split('\n')[0]?.trim() ?? '';
  return line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line || 'New chat';
}

addEventListener('popstate', () => {
  shownId.value = location.hash.slice(1);
});
addEventListener('hashchange', () => {
  shownId.value = location.hash.slice(1);
});

storage.watch((id) => {
  const stored = storage.load(id);
  const rest = conversations.value.filter((entry) => entry.id !== id);
  conversations.value = (stored ? [stored, ...rest] : rest).sort((a, b) => b.updated - a.updated);
});
