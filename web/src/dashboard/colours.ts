// The colours of lines, as the page's theme has them. A canvas knows nothing of the page's variables.

import { signal } from '@preact/signals';
import { theme } from '../state/page.ts';

const dark = matchMedia('(prefers-color-scheme: dark)');

/** Rises when the theme is another one: what is painted has to be painted anew. */
export const themed = signal(0);

const rise = () => {
  known.clear();
  themed.value += 1;
};

const known = new Map<string, string>();

dark.addEventListener('change', rise);
theme.subscribe(rise);

/** The colour of a variable of the style, such as `--ink`. */
export function colour(name: string): string {
  const found = known.get(name);
  if (found) return found;
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  known.set(name, value);
  return value;
}

/** The same, thinner. */
export function wash(name: string, share: number): string {
  return colour(name).replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);
}
