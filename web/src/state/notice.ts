// A line at the bottom that tells what happened, for a while.

import { signal } from '@preact/signals';

export interface Notice {
  text: string;
  action?: { label: string; run: () => void };
}

export const shownNotice = signal<Notice | undefined>(undefined);

/** How long a notice stays: one that offers something, longer. */
const SHOWN_MS = 6000;
const OFFERED_MS = 15_000;

let timer = 0;

export function notice(text: string, action?: Notice['action']) {
  clearTimeout(timer);
  shownNotice.value = { text, ...(action && { action }) };
  timer = window.setTimeout(dismiss, action ? OFFERED_MS : SHOWN_MS);
}

export function dismiss() {
  shownNotice.value = undefined;
}
