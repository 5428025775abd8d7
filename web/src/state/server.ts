// What is known of the server: whether it answers, and which models it has.

import { computed, signal } from '@preact/signals';
import { about as fetchAbout, health, models as fetchModels, type About, type Health } from '../api/server.ts';
import { choice, choose } from './storage.ts';

export const status = signal<Health | 'asking'>('asking');

export const models = signal<string[]>([]);

const chosen = signal(choice('model'));

/** The model that is asked: the chosen one if the server has it, else its first. */
export const model = computed(() => models.value.find((name) => name === chosen.value) ?? models.value[0]);

const abouts = signal<ReadonlyMap<string, About>>(new Map());

/** What the server says of the model that is asked. */
export const about = computed((): About => abouts.value.get(model.value ?? '') ?? {});

/** Whether the model has no chat template: it continues texts. */
export const plain = computed(() => about.value.chat === false);

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
  if (answer === 'ready') await learn();
  status.value = answer;
  if (answer !== 'ready') timer = window.setTimeout(ask, AGAIN_MS);
}

async function learn() {
  const names = await fetchModels().catch(() => models.value);
  abouts.value = new Map(await Promise.all(names.map(async (name) => [name, await fetchAbout(name).catch(() => ({}))] as const)));
  models.value = names;
}
