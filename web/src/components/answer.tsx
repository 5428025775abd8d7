// An answer: reasoning, text, calls of tools, how it ended, how long it took, and what can be done with it.

import { Component } from 'preact';
import { regenerate, resume, run } from '../state/answers.ts';
import { editLast } from '../state/drafts.ts';
import { TOO_LONG } from '../state/room.ts';
import type { Message, Problem } from '../state/types.ts';
import { CopyButton } from './copy-button.tsx';
import { Icon } from './icons.tsx';
import { IconButton } from './icon-button.tsx';
import { Markdown } from './markdown.tsx';
import { ProblemCard, type Remedy } from './problem-card.tsx';
import { Reasoning } from './reasoning.tsx';
import { Timing } from './timing.tsx';
import { ToolCalls } from './tool-calls.tsx';
import { Versions } from './versions.tsx';

interface Props {
  message: Message;
  /** Results of its calls that have been given. */
  results: Message[];
  last: boolean;
}

/** While an answer comes, only it is drawn anew; the others stay as they are. */
export class Answer extends Component<Props> {
  override shouldComponentUpdate({ message, results, last }: Props) {
    const before = this.props;
    const sameResults = results.length === before.results.length && results.every((result, i) => result === before.results[i]);
    return message !== before.message || last !== before.last || !sameResults;
  }

  override render(props: Props) {
    return run.value?.message.peek().id === props.message.id ? <Growing {...props} /> : <Settled {...props} />;
  }
}

function Growing(props: Props) {
  return <Body {...props} message={run.value?.message.value ?? props.message} streaming />;
}

function Settled(props: Props) {
  return <Body {...props} streaming={false} />;
}

function Body({ message, results, last, streaming }: Props & { streaming: boolean }) {
  const { content, reasoning, calls = [] } = message;
  const said = Boolean(content.trim()) || calls.length > 0;
  const empty = !said && !reasoning;
  return (
    <article class="message answer" aria-busy={streaming}>
      <h2 class="unseen">{message.model ?? 'The model'} answered</h2>
      {message.leftOut && <LeftOut count={message.leftOut} />}
      {reasoning && <Reasoning text={reasoning} open={streaming && !said} ms={message.reasoningMs} />}
      {content.trim() && <Text message={message} growing={streaming && calls.length === 0} />}
      {streaming && empty && <Waiting />}
      {calls.length > 0 && <ToolCalls message={message} calls={calls} results={results} streaming={streaming} last={last} />}
      {!streaming && <Ending message={message} last={last} empty={empty} />}
    </article>
  );
}

function Text({ message: { content, plain }, growing }: { message: Message; growing: boolean }) {
  const text = content.replace(/^\n+/, '').trimEnd();
  return plain ? <p class="plain">{text}</p> : <Markdown text={text} streaming={growing} />;
}

function LeftOut({ count }: { count: number }) {
  const exchanges = count === 1 ? 'exchange is' : `${count.toLocaleString('en')} exchanges are`;
  return <p class="ending">The context is full: the first {exchanges} left out.</p>;
}

function Waiting() {
  return (
    <p class="waiting">
      <span class="unseen">Waiting for the answer</span>
    </p>
  );
}

function Ending({ message, last, empty }: { message: Message; last: boolean; empty: boolean }) {
  const { finish, problem } = message;
  const resumable = last && Boolean(message.content.trim()) && !message.calls && (finish === 'length' || finish === 'stopped' || finish === 'failed');
  return (
    <>
      {problem ? (
        <ProblemCard problem={problem} remedy={last ? remedyFor(problem, message) : undefined} />
      ) : (
        <HowItEnded finish={finish} empty={empty} />
      )}
      <footer class="actions">
        <Versions message={message} />
        {!empty && <CopyButton text={() => message.content} label="Copy answer" />}
        {last && <IconButton icon="retry" label="Regenerate" keys="Alt+R" onClick={() => regenerate(message)} />}
        {resumable && (
          <button type="button" class="button quiet" onClick={() => resume(message)}>
            <Icon name="resume" /> Continue
          </button>
        )}
        <Timing message={message} />
      </footer>
    </>
  );
}

/** What is too long by itself only its author can shorten. */
function remedyFor({ code }: Problem, message: Message): Remedy {
  if (code === TOO_LONG) return { icon: 'edit', label: 'Edit', act: editLast };
  return { icon: 'retry', label: 'Retry', act: () => regenerate(message) };
}

function HowItEnded({ finish, empty }: { finish: Message['finish']; empty: boolean }) {
  const words =
    finish === 'length'
      ? 'Cut at the limit of tokens.'
      : finish === 'stopped'
        ? 'Stopped.'
        : finish === undefined
          ? 'This answer was interrupted.'
          : empty
            ? 'The model said nothing.'
            : undefined;
  return words ? <p class="ending">{words}</p> : null;
}
