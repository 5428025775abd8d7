// Which version of a message is shown, and the way to the others.

import { current, update } from '../state/conversations.ts';
import { show, versions } from '../state/tree.ts';
import type { Message } from '../state/types.ts';
import { IconButton } from './icon-button.tsx';

export function Versions({ message }: { message: Message }) {
  const { id } = current.value;
  const all = versions(current.value, message);
  const at = all.findIndex((other) => other.id === message.id);
  if (all.length < 2) return null;
  const go = (to: number) => () => {
    const other = all[to];
    if (other) update(id, (before) => show(before, other.id));
  };
  return (
    <span class="versions" role="group" aria-label="Versions">
      <IconButton icon="left" label="Previous version" onClick={go(at - 1)} disabled={at === 0} />
      <span>
        {at + 1}/{all.length}
      </span>
      <IconButton icon="right" label="Next version" onClick={go(at + 1)} disabled={at === all.length - 1} />
    </span>
  );
}
