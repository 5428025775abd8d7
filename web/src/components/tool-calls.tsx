// The tools that an answer calls, as cards. A person plays the tool: each card has a field for its result.

import { useState } from 'preact/hooks';
import { giveResults } from '../state/answers.ts';
import type { Message } from '../state/types.ts';
import { IconButton } from './icon-button.tsx';
import { ToolCall } from './tool-call.tsx';
import { Versions } from './versions.tsx';

export interface ShownCall {
  name: string | undefined;
  /** The arguments as JSON, or what came instead of a call. */
  source: string;
  callId?: string;
  open: boolean;
}

interface Props {
  message: Message;
  calls: ShownCall[];
  results: Message[];
  streaming: boolean;
  last: boolean;
}

export function ToolCalls({ message, calls, results, streaming, last }: Props) {
  const [texts, setTexts] = useState<Readonly<Record<number, string>>>({});
  const [again, setAgain] = useState(false);
  const callable = calls.filter((call) => call.name !== undefined);
  const asks = !streaming && callable.length > 0 && (again || (last && results.length === 0));
  const text = (i: number) => texts[i] ?? (again ? results[i]?.content : undefined) ?? '';
  const complete = callable.every((_, i) => text(i).trim());
  const submit = (event?: Event) => {
    event?.preventDefault();
    if (!complete) return;
    setAgain(false);
    giveResults(message, callable.map((call, i) => resultOf(call, text(i))));
  };
  return (
    <form class="calls" aria-label="Tool calls" onSubmit={submit}>
      {calls.map((call, i) => {
        const at = callable.indexOf(call);
        const field = asks && at >= 0 && { text: text(at), write: (to: string) => setTexts({ ...texts, [at]: to }), submit };
        const corner = at === 0 && !asks && !streaming && results[0] && <Again result={results[0]} ask={() => setAgain(true)} />;
        return (
          <ToolCall key={i} call={call} result={again ? undefined : results[at]?.content} {...(field && { field })}>
            {corner}
          </ToolCall>
        );
      })}
      {asks && (
        <div class="row">
          {again && (
            <button type="button" class="button" onClick={() => setAgain(false)}>
              Cancel
            </button>
          )}
          <button type="submit" class="button primary" disabled={!complete}>
            {callable.length > 1 ? 'Send results' : 'Send result'}
          </button>
        </div>
      )}
    </form>
  );
}

/** Results have versions too: the answer to another result stands beside the first. */
function Again({ result, ask }: { result: Message; ask: () => void }) {
  return (
    <span class="again">
      <Versions message={result} />
      <IconButton icon="edit" label="Another result" onClick={ask} />
    </span>
  );
}

function resultOf({ name, callId }: ShownCall, content: string) {
  return { content: content.trim(), ...(name && { name }), ...(callId && { callId }) };
}
