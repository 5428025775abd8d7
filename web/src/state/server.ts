// What is known of the server: whether it answers, and which models it has.

import { computed, signal } from '@preact/signals';
import { health, models as fetchModels, type Health } from '../api/server.ts';
import { choice, choose } from './storage.ts';

export const status = signal<Health | 'asking'>('asking');

export const models = signal<string[]>([]);

const chosen = signal(choice('model'));

/** The model that is asked: the chosen one if the server has it, else its first. */
export const model = computed(() => models.value.find((name) => name === chosen.value) ?? models.value[0]);

export function chooseModel(name: string) {
  chosen.value = name;
  choose('model', name);
}

/** Between questions to a server that is not ready. */
const AGAIN_MS = 1500;

let timer = 0;

/** Asks the server how it is, again and again until it is ready. */
export async function ask() {
  clearTimeout(timer);
  const answer = await health();
  if (answer === 'ready') {
    models.value = await fetchModels().catch(() => models.value);
  }
  status.value = answer;
  if (answer !== 'ready') timer = window.setTimeout(ask, AGAIN_MS);
}
