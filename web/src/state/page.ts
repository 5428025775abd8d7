// What the page looks like: theme, panels.

import { effect, signal } from '@preact/signals';
import { choice, choose } from './storage.ts';

export type Theme = '' | 'light' | 'dark';

/** Empty follows the system. */
export const theme = signal(choice('theme') as Theme);

const wide = matchMedia('(min-width: 56rem)');

export const sidebar = signal(wide.matches && choice('sidebar') !== 'closed');

wide.addEventListener('change', () => {
  sidebar.value = wide.matches && choice('sidebar') !== 'closed';
});

export const settingsOpen = signal(false);

export const shortcutsOpen = signal(false);

/** Whether the list covers the conversation rather than standing beside it. */
export function narrow(): boolean {
  return !wide.matches;
}

export function toggleSidebar() {
  sidebar.value = !sidebar.value;
  if (wide.matches) choose('sidebar', sidebar.value ? '' : 'closed');
}

export function nextTheme() {
  const order: Theme[] = ['', 'light', 'dark'];
  theme.value = order[(order.indexOf(theme.value) + 1) % order.length] ?? '';
}

effect(() => {
  choose('theme', theme.value);
  document.documentElement.dataset['theme'] = theme.value || 'system';
});
