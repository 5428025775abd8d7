// What the page knows: the document, the key, and which calls are shown.

import { computed, signal } from '@preact/signals';
import { operations, type OpenApi, type Operation } from './document.ts';

export const openapi = signal<OpenApi | null>(null);

/** Why there is no document. */
export const trouble = signal('');

/** Goes with every call. It is kept nowhere: a page that is left forgets it. */
export const key = signal('');

export const wanted = signal('');

export async function load() {
  try {
    const response = await fetch('openapi.json', { cache: 'no-cache' });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    openapi.value = (await response.json()) as OpenApi;
  } catch (thrown) {
    trouble.value = thrown instanceof Error ? thrown.message : String(thrown);
  }
}

const all = computed(() => (openapi.value ? operations(openapi.value) : []));

/** The operations that are looked for, by API. */
export const shown = computed(() => {
  const words = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ method, path, summary }: Operation) => {
    const text = `${method} ${path} ${summary}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const groups = (openapi.value?.tags ?? []).map((tag) => ({ ...tag, operations: all.value.filter((one) => one.tags[0] === tag.name && fits(one)) }));
  return groups.filter(({ operations }) => operations.length > 0);
});
