// The keyboard: which keys do what, and the names they are shown by.

import { regenerate, run, stop } from '../state/answers.ts';
import { conversations, current, open, startNew } from '../state/conversations.ts';
import { copy } from '../state/copy.ts';
import { notice } from '../state/notice.ts';
import { narrow, settingsOpen, shortcutsOpen, sidebar, toggleSidebar } from '../state/page.ts';
import { path } from '../state/tree.ts';
import { closeSettings } from './settings.tsx';

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** The name of a key pressed with Ctrl, or Command on a Mac. */
export function key(letter: string): string {
  return MAC ? `⌘${letter}` : `Ctrl+${letter}`;
}

/** On a Mac Option types letters of its own, so it is Control there. */
const ALT = MAC ? '⌃' : 'Alt+';

/** What the list of shortcuts says. */
export const SHORTCUTS: [string, string][] = [
  ['Enter', 'Send'],
  ['Shift+Enter', 'New line'],
  ['Esc', 'Stop the answer, close a panel'],
  ['↑', 'Edit the last message (in an empty field)'],
  [key('K'), 'New chat'],
  [`${ALT}R`, 'Regenerate the last answer'],
  [`${ALT}C`, 'Copy the last answer'],
  [MAC ? '⌃[ ⌃]' : 'Alt+↑ Alt+↓', 'Previous, next conversation'],
  [key('B'), 'List of conversations'],
  [key(','), 'Settings'],
  ['/', 'To the message field'],
  ['?', 'This list'],
];

/** What is pressed with Ctrl or Command. */
const WITH_CONTROL: Record<string, () => void> = {
  k: startNew,
  b: toggleSidebar,
  ',': () => (settingsOpen.value ? closeSettings() : (settingsOpen.value = true)),
};

/** What is pressed with Alt, or Control on a Mac, by the key's place. */
const WITH_ALT: Record<string, () => void> = {
  KeyR: regenerateLast,
  KeyC: () => void copyLast(),
  ArrowUp: () => go(-1),
  ArrowDown: () => go(1),
  BracketLeft: () => go(-1),
  BracketRight: () => go(1),
};

/** What is pressed alone, outside of fields. */
const ALONE: Record<string, () => void> = {
  '/': () => document.getElementById('composer')?.focus(),
  '?': () => (shortcutsOpen.value = true),
};

export function onKeyDown(event: KeyboardEvent) {
  if (event.isComposing || shortcutsOpen.value) return;
  const act = actionOf(event);
  if (!act) return;
  event.preventDefault();
  act();
}

function actionOf(event: KeyboardEvent): (() => void) | undefined {
  const control = MAC ? event.metaKey : event.ctrlKey;
  if (control && !event.altKey && !event.shiftKey) return WITH_CONTROL[event.key.toLowerCase()];
  if (!control && (MAC ? event.ctrlKey && !event.altKey : event.altKey)) return WITH_ALT[event.code];
  if (event.key === 'Escape') return escape();
  const writing = event.target instanceof Element && event.target.matches('input, textarea, select');
  return writing || control ? undefined : ALONE[event.key];
}

/** Whatever lies uppermost is ended first. */
function escape(): (() => void) | undefined {
  if (document.querySelector(':popover-open')) return undefined;
  if (narrow() && sidebar.value) return toggleSidebar;
  if (settingsOpen.value && (narrow() || document.activeElement?.closest('.settings'))) return closeSettings;
  if (run.value) return () => stop();
  return settingsOpen.value ? closeSettings : undefined;
}

function lastAnswer() {
  return path(current.value).findLast(({ role }) => role === 'assistant');
}

function regenerateLast() {
  const last = lastAnswer();
  if (last && last.id === current.value.leaf) regenerate(last);
}

async function copyLast() {
  const last = lastAnswer();
  if (last && (await copy(last.content))) notice('The answer is copied.');
}

function go(by: number) {
  const at = conversations.value.findIndex(({ id }) => id === current.value.id);
  const next = conversations.value[at + by];
  if (next) open(next.id);
}
