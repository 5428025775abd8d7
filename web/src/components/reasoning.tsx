// What a model thought before it answered: folded, with how long it took.

import { duration } from '../text/format.ts';
import { Icon } from './icons.tsx';
import { Markdown } from './markdown.tsx';

export function Reasoning({ text, open, ms }: { text: string; open: boolean; ms: number | undefined }) {
  const took = ms === undefined || ms < 1 ? 'Reasoning' : `Reasoned for ${duration(ms)}`;
  return (
    <details class="reasoning">
      <summary class={open ? 'busy' : undefined}>
        <Icon name="thought" />
        <span>{open ? 'Reasoning…' : took}</span>
        <Icon name="right" />
      </summary>
      <Markdown text={text} streaming={open} />
    </details>
  );
}
