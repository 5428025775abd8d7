// The tools that an answer calls, as cards. A person plays the tool: each card has a field for its result.

import { useState } from 'preact/hooks';
import { giveResults } from '../state/answers.ts';
import type { Call, Message } from '../state/types.ts';
import { argumentsOf } from '../text/call.ts';
import { IconButton } from './icon-button.tsx';
import { ToolCall } from './tool-call.tsx';
import { Versions } from './versions.tsx';

interface Props {
  message: Message;
  calls: Call[];
  results: Message[];
  streaming: boolean;
  last: boolean;
}

export function ToolCalls({ message, calls, results, streaming, last }: Props) {
  const [texts, setTexts] = useState<Readonly<Record<number, string>>>({});
  const [again, setAgain] = useState(false);
  const whole = calls.every((call) => argumentsOf(call.arguments));
  const asks = !streaming && whole && (again || (last && results.length === 0));
  const text = (i: number) => texts[i] ?? (again ? results[i]?.content : undefined) ?? '';
  const complete = calls.every((_, i) => text(i).trim());
  const submit = (event?: Event) => {
    event?.preventDefault();
    if (!complete) return;
    setAgain(false);
    giveResults(message, calls.map((call, i) => resultOf(call, text(i))));
  };
  return (
    <form class="calls" aria-label="Tool calls" onSubmit={submit}>
      {calls.map((call, i) => {
        const field = asks && { text: text(i), write: (to: string) => setTexts({ ...texts, [i]: to }), submit };
        const corner = i === 0 && !asks && !streaming && results[0] && <Again result={results[0]} ask={() => setAgain(true)} />;
        return (
          <ToolCall key={i} call={call} open={streaming && i === calls.length - 1} result={again ? undefined : results[i]?.content} {...(field && { field })}>
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
            {calls.length > 1 ? 'Send results' : 'Send result'}
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

function resultOf({ name, id }: Call, content: string) {
  return { content: content.trim(), name, callId: id };
}
