// What draws formulas: it is large, so it is asked for when there is one.

import { signal } from '@preact/signals';

type Draw = (tex: string, display: boolean, into: HTMLElement) => void;

/** Draws a formula into an element; nothing before it is here. */
export const draw = signal<Draw | undefined>(undefined);

let asked = false;

/** Asks for it, unless that was done. */
export async function needDrawing() {
  if (asked) return;
  asked = true;
  try {
    draw.value = (await import('./math.js')).draw;
  } catch {
    asked = false;
  }
}
