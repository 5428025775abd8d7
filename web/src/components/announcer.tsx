// Reads answers to who listens rather than looks: whole sentences as they are finished, not every token.

import { useEffect, useRef, useState } from 'preact/hooks';
import { run } from '../state/answers.ts';
import { current } from '../state/conversations.ts';
import { path } from '../state/tree.ts';
import type { Message } from '../state/types.ts';
import { sentences } from '../text/sentences.ts';

export function Announcer() {
  const said = useRef(0);
  const [text, setText] = useState('');
  const coming = run.value;
  const message = coming?.message.value;
  useEffect(() => {
    said.current = 0;
    setText(coming ? 'Answering' : ending());
  }, [coming]);
  useEffect(() => {
    if (!message) return;
    const [next, length] = sentences(spoken(message), said.current);
    said.current = length;
    if (next) setText(next);
  }, [message]);
  return (
    <div class="unseen" aria-live="polite" aria-atomic="true">
      {text}
    </div>
  );
}

function spoken({ content, calls = [] }: Message): string {
  return [content, ...calls.map(() => 'The model calls a tool.\n')].join('\n');
}

function ending(): string {
  const last = path(current.peek()).at(-1);
  if (last?.role !== 'assistant') return '';
  return last.problem ? `${last.problem.title}. ${last.problem.message}` : 'The answer is complete';
}
