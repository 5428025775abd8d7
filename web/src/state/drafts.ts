// What is being written in each conversation, and what is being edited.

import { signal } from '@preact/signals';
import { current } from './conversations.ts';
import { path } from './tree.ts';

const drafts = signal<Readonly<Record<string, string>>>({});

export function draft(id: string): string {
  return drafts.value[id] ?? '';
}

export function write(id: string, text: string) {
  drafts.value = { ...drafts.value, [id]: text };
}

/** The id of the message that is being edited. */
export const editing = signal<string | undefined>(undefined);

/** Edits what was said last. Gives whether there is something. */
export function editLast(): boolean {
  const last = path(current.value).findLast(({ role }) => role === 'user');
  if (last) editing.value = last.id;
  return last !== undefined;
}
