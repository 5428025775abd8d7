// One call of a tool: its name, its arguments, its result.

import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import type { Call } from '../state/types.ts';
import { argumentsOf } from '../text/call.ts';
import { fit } from './fit.ts';
import { Icon } from './icons.tsx';

interface Props {
  call: Call;
  /** Whether its arguments are still coming. */
  open: boolean;
  result: string | undefined;
  field?: { text: string; write: (text: string) => void; submit: () => void };
  /** Stands beside the result. */
  children?: ComponentChildren;
}

export function ToolCall({ call, open, result, field, children }: Props) {
  return (
    <section class="call" aria-label={`Tool call: ${call.name}`}>
      <h3 class={open ? 'busy' : undefined}>
        <Icon name="tool" />
        <code>{call.name}</code>
      </h3>
      <Arguments source={call.arguments} open={open} />
      {result !== undefined && (
        <div class="result">
          <div class="result-top">
            <h4>Result</h4>
            {children}
          </div>
          <pre tabIndex={0}>{result}</pre>
        </div>
      )}
      {field && <ResultField {...field} />}
    </section>
  );
}

/** The arguments as a list of names and values; whatever else they are, as it is. */
function Arguments({ source, open }: { source: string; open: boolean }) {
  if (open && !source) return null;
  const entries = argumentsOf(source);
  if (!entries) {
    return (
      <>
        <pre tabIndex={0}>{source}</pre>
        {!open && <p class="ending">The arguments are not whole.</p>}
      </>
    );
  }
  if (entries.length === 0) return <p class="ending">No arguments.</p>;
  return (
    <dl class="arguments">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{typeof value === 'string' ? value : JSON.stringify(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function ResultField({ text, write, submit }: NonNullable<Props['field']>) {
  const id = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => fit(field.current), [text]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  };
  return (
    <div class="result">
      <label for={id}>What the tool answers</label>
      <textarea
        id={id}
        ref={field}
        rows={1}
        placeholder='Any text, such as {"temperature": 12}'
        value={text}
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
    </div>
  );
}
