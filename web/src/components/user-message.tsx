// What a person said; it can be copied, and edited into another version.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { edit } from '../state/answers.ts';
import { editing } from '../state/drafts.ts';
import type { Message } from '../state/types.ts';
import { CopyButton } from './copy-button.tsx';
import { fit } from './fit.ts';
import { IconButton } from './icon-button.tsx';
import { Versions } from './versions.tsx';

export function UserMessage({ message }: { message: Message }) {
  if (editing.value === message.id) return <Editor message={message} />;
  return (
    <article class="message user">
      <h2 class="unseen">You said</h2>
      <div class="bubble">{message.content}</div>
      <footer class="actions">
        <Versions message={message} />
        <CopyButton text={() => message.content} label="Copy message" />
        <IconButton icon="edit" label="Edit message" onClick={() => (editing.value = message.id)} />
      </footer>
    </article>
  );
}

function Editor({ message }: { message: Message }) {
  const [text, setText] = useState(message.content);
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  useLayoutEffect(() => fit(field.current), [text]);
  const cancel = () => {
    editing.value = undefined;
    document.getElementById('composer')?.focus();
  };
  const submit = (event?: Event) => {
    event?.preventDefault();
    if (edit(message, text)) cancel();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event);
    if (event.key === 'Escape') {
      event.stopPropagation();
      cancel();
    }
  };
  return (
    <form class="message user editor" aria-label="Edit message" onSubmit={submit}>
      <textarea ref={field} rows={1} aria-label="Message" value={text} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={onKeyDown} />
      <div class="row">
        <button type="button" class="button" onClick={cancel}>
          Cancel
        </button>
        <button type="submit" class="button primary" disabled={!text.trim()}>
          Send
        </button>
      </div>
    </form>
  );
}
