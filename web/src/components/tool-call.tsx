// One call of a tool: its name, its arguments, its result.

import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { fit } from './fit.ts';
import { Icon } from './icons.tsx';
import type { ShownCall } from './tool-calls.tsx';

interface Props {
  call: ShownCall;
  result: string | undefined;
  field?: { text: string; write: (text: string) => void; submit: () => void };
  /** Stands beside the result. */
  children?: ComponentChildren;
}

export function ToolCall({ call, result, field, children }: Props) {
  const heading = call.name ?? (call.open ? 'Calling a tool…' : 'Not a call');
  return (
    <section class="call" aria-label={`Tool call: ${heading}`}>
      <h3>
        <Icon name="tool" />
        {call.name ? <code>{call.name}</code> : <span class={call.open ? 'busy' : undefined}>{heading}</span>}
      </h3>
      {call.name === undefined ? <pre tabIndex={0}>{call.source}</pre> : <Arguments source={call.source} />}
      {call.name === undefined && !call.open && <p class="ending">The model wrote this as a call of a tool, but it is not the JSON of one.</p>}
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
function Arguments({ source }: { source: string }) {
  const entries = entriesOf(source);
  if (!entries) return <pre tabIndex={0}>{source}</pre>;
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

function entriesOf(source: string): [string, unknown][] | undefined {
  try {
    const value = JSON.parse(source || '{}') as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined;
  } catch {
    return undefined;
  }
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
