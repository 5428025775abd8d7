// The conversation as it scrolls. It follows a growing answer until the reader scrolls up.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { current } from '../state/conversations.ts';
import { path } from '../state/tree.ts';
import type { Message } from '../state/types.ts';
import { Answer } from './answer.tsx';
import { Icon } from './icons.tsx';
import { SystemNote } from './system-note.tsx';
import { UserMessage } from './user-message.tsx';

/** This far from the end is still the end. */
const NEAR = 32;

export function Transcript() {
  const conversation = current.value;
  const shown = path(conversation);
  const { scroller, content, away, toEnd } = useFollowing(conversation.id, shown.filter(({ role }) => role === 'user').at(-1)?.id);
  return (
    <div class="transcript">
      <h1 class="unseen">{conversation.title}</h1>
      <div class="scroller" ref={scroller} tabIndex={0} role="log" aria-live="off" aria-label="Conversation">
        <div class="column" ref={content}>
          <SystemNote text={conversation.settings['system']} />
          {shown.map((message, i) => (
            <Entry key={message.id} message={message} following={shown.slice(i + 1)} />
          ))}
        </div>
      </div>
      {away && (
        <button type="button" class="to-end" aria-label="To the end" title="To the end" onClick={toEnd}>
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}

/** Results of tools are shown in the cards of their calls. */
function Entry({ message, following }: { message: Message; following: Message[] }) {
  if (message.role === 'user') return <UserMessage message={message} />;
  if (message.role === 'tool') return null;
  const end = following.findIndex(({ role }) => role !== 'tool');
  const results = end < 0 ? following : following.slice(0, end);
  return <Answer message={message} results={results} last={following.length === 0} />;
}

/** Keeps the end in sight, and begins anew with each conversation and each thing said. */
function useFollowing(conversation: string, said: string | undefined) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () => {
    follows.current = true;
    const box = scroller.current;
    if (box) box.scrollTop = box.scrollHeight;
  };
  useLayoutEffect(toEnd, [conversation, said]);
  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box || !content.current) return;
    let top = box.scrollTop;
    const look = () => {
      const left = box.scrollHeight - box.clientHeight - box.scrollTop;
      // Only a reader moves up; growing moves the end down.
      if (left <= NEAR) follows.current = true;
      else if (box.scrollTop < top) follows.current = false;
      top = box.scrollTop;
      setAway(left > NEAR && !follows.current);
    };
    const grown = new ResizeObserver(() => {
      if (follows.current) toEnd();
      look();
    });
    grown.observe(content.current);
    grown.observe(box);
    box.addEventListener('scroll', look, { passive: true });
    return () => {
      grown.disconnect();
      box.removeEventListener('scroll', look);
    };
  }, []);
  return { scroller, content, away, toEnd };
}
