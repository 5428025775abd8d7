// One call: what it takes, a form to fill in, and what came of it.

import { useRef, useState } from 'preact/hooks';
import { send, type Answer, type Filled } from './send.ts';
import { bodyOf, type Operation } from './document.ts';
import { Fields } from './fields.tsx';
import { Inputs } from './inputs.tsx';
import { Responses } from './responses.tsx';

export function Call({ operation }: { operation: Operation }) {
  const [open, setOpen] = useState(false);
  const { method, path, summary } = operation;
  return (
    <details class="call" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <span class={`method ${method.toLowerCase()}`}>{method}</span>
        <code>{path}</code>
        <span class="soft">{summary}</span>
      </summary>
      {open && <Opened operation={operation} />}
    </details>
  );
}

function Opened({ operation }: { operation: Operation }) {
  const body = bodyOf(operation);
  const [filled, setFilled] = useState<Filled>({ values: {}, files: {}, body: body?.example ?? '' });
  const json = body && body.media !== 'multipart/form-data';
  const lines = Math.min(20, filled.body.split('\n').length + 1);
  return (
    <div class="opened">
      <p class="soft">Keys: {operation.security.length === 0 ? 'none needed' : operation['x-whinchat-roles']}</p>
      <Inputs operation={operation} filled={filled} onFill={setFilled} />
      {json && (
        <label class="body">
          Body
          <textarea class="code" spellcheck={false} rows={lines} value={filled.body} onInput={(e) => setFilled({ ...filled, body: e.currentTarget.value })} />
        </label>
      )}
      <Sender operation={operation} filled={filled} />
      {json && <Fields schema={body.schema} />}
      <Responses operation={operation} />
    </div>
  );
}

/** Sends the call, or stops it, and shows the answer as it comes. */
function Sender({ operation, filled }: { operation: Operation; filled: Filled }) {
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [trouble, setTrouble] = useState('');
  const [running, setRunning] = useState(false);
  const stop = useRef<AbortController | null>(null);
  const call = async () => {
    stop.current = new AbortController();
    const { signal } = stop.current;
    setRunning(true);
    setTrouble('');
    setAnswer(null);
    try {
      await send(operation, filled, signal, setAnswer);
    } catch (thrown) {
      setTrouble(signal.aborted ? 'Stopped.' : `The server cannot be reached, or has cut the answer off: ${String(thrown)}`);
    }
    setRunning(false);
  };
  return (
    <>
      <p class="send">
        {running ? (
          <button type="button" class="button" onClick={() => stop.current?.abort()}>
            Stop
          </button>
        ) : (
          <button type="button" class="button primary" onClick={() => void call()}>
            Send
          </button>
        )}
        <span role="status" class="soft">
          {answer && told(answer)}
          {trouble}
        </span>
      </p>
      {answer?.text && (
        <pre class="answer" tabIndex={0} aria-label="Answer">
          {answer.text}
        </pre>
      )}
    </>
  );
}

function told({ status, media, first, total }: Answer): string {
  const kind = media.split(';')[0] ?? '';
  const took = total === undefined ? `first byte after ${first.toFixed(0)} ms` : `${total.toFixed(0)} ms`;
  return [String(status), kind, took].filter(Boolean).join(' · ');
}
