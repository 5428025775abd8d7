// One conversation in the list.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { isAnswering, stop } from '../state/answers.ts';
import { current, open, remove, rename } from '../state/conversations.ts';
import { narrow, sidebar } from '../state/page.ts';
import type { Conversation } from '../state/types.ts';
import { IconButton } from './icon-button.tsx';

export function ConversationRow({ conversation }: { conversation: Conversation }) {
  const [renaming, setRenaming] = useState(false);
  const { id, title } = conversation;
  const shown = current.value.id === id;
  const go = () => {
    open(id);
    if (narrow()) sidebar.value = false;
  };
  if (renaming) return <Renaming conversation={conversation} done={() => setRenaming(false)} />;
  return (
    <li class={shown ? 'shown' : undefined}>
      <button type="button" class="title" aria-current={shown ? 'page' : undefined} onClick={go} onDblClick={() => setRenaming(true)}>
        {isAnswering(id) && <span class="dot busy" title="Answering" />}
        {title}
      </button>
      <span class="row-actions">
        <IconButton icon="edit" label={`Rename “${title}”`} onClick={() => setRenaming(true)} />
        <IconButton
          icon="trash"
          label={`Delete “${title}”`}
          onClick={() => {
            stop(id);
            remove(id);
          }}
        />
      </span>
    </li>
  );
}

function Renaming({ conversation: { id, title }, done }: { conversation: Conversation; done: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  // Leaving the field ends it too, also when it is taken away.
  const ended = useRef(false);
  const end = (keep: boolean) => {
    if (ended.current) return;
    ended.current = true;
    if (keep) rename(id, field.current?.value ?? title);
    done();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter') end(true);
    if (event.key === 'Escape') {
      event.stopPropagation();
      end(false);
    }
  };
  return (
    <li>
      <input ref={field} class="rename" aria-label="Title" defaultValue={title} onBlur={() => end(true)} onKeyDown={onKeyDown} />
    </li>
  );
}
