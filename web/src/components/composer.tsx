// Where one writes. Enter sends, Shift+Enter makes a line, the up arrow edits what was said last.

import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { run, send, stop } from '../state/answers.ts';
import { current } from '../state/conversations.ts';
import { draft, editLast, write } from '../state/drafts.ts';
import { plain } from '../state/server.ts';
import { Chips } from './chips.tsx';
import { fit } from './fit.ts';
import { Icon } from './icons.tsx';

export function Composer() {
  const { id } = current.value;
  const text = draft(id);
  const answering = run.value !== undefined;
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    // On a phone this would open the keyboard.
    if (matchMedia('(pointer: fine)').matches) field.current?.focus();
  }, [id]);
  useEffect(() => {
    // Asking for an answer takes away what was pressed for it.
    if (answering && document.activeElement === document.body) field.current?.focus({ preventScroll: true });
  }, [answering]);
  useLayoutEffect(() => fit(field.current), [text]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (!answering && send(text)) write(current.value.id, '');
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) submit(event);
    if (event.key === 'ArrowUp' && !text && !answering && editLast()) event.preventDefault();
  };
  return (
    <form class="composer" aria-label="Write a message" onSubmit={submit}>
      <textarea
        id="composer"
        ref={field}
        rows={1}
        aria-label="Message"
        placeholder={plain.value ? 'Write a text' : 'Write a message'}
        value={text}
        onInput={(event) => write(id, event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      {answering ? <StopButton /> : <SendButton disabled={!text.trim()} />}
      <Chips />
    </form>
  );
}

function SendButton({ disabled }: { disabled: boolean }) {
  return (
    <button type="submit" class="send" aria-label="Send" title="Send (Enter)" disabled={disabled}>
      <Icon name="send" />
    </button>
  );
}

function StopButton() {
  return (
    <button type="button" class="send stop" aria-label="Stop" title="Stop (Esc)" onClick={() => stop()}>
      <span class="square" />
    </button>
  );
}
