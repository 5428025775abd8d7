// The slowest requests, each with its way from stage to stage.

import { signal } from '@preact/signals';
import { nameOf } from '../telemetry/engines.ts';
import { engines, told } from '../telemetry/store.ts';
import type { Flow, Stage } from '../telemetry/wire.ts';
import { clock, count, STAGES, time } from '../telemetry/words.ts';
import { Nothing, Panel } from './panel.tsx';
import { Stages, Waterfall } from './waterfall.tsx';

const ABOUT =
  'The slowest requests of the last hour and where their time went: in the queue, in each chunk of the prompt, in the answer, without memory (preempted), and until the client had taken it (sent). Open one for its stages.';

const open = signal('');

export function Slowest() {
  const flows = told.slowest.value;
  const longest = Math.max(...flows.map(({ total_us }) => total_us), 1);
  return (
    <Panel title="Slowest requests" about={ABOUT} class="wide" aside={<Key />}>
      {flows.length === 0 && <Nothing>No request has ended in the last hour.</Nothing>}
      <ul class="flows">
        {flows.map((flow) => (
          <Row key={flow.id} flow={flow} longest={longest} />
        ))}
      </ul>
    </Panel>
  );
}

function Row({ flow, longest }: { flow: Flow; longest: number }) {
  const { id, total_us, tenant, prompt, cached, generated, reason, came_ms } = flow;
  const shown = open.value === id;
  return (
    <li class="flow">
      <button type="button" class="flow-top" aria-expanded={shown} onClick={() => (open.value = shown ? '' : id)}>
        <b>{time(total_us / 1000)}</b>
        <span class="flow-name">
          {nameOf(flow, engines.value)}
          {tenant !== null && ` · ${tenant}`}
        </span>
        <span class="soft">
          {count(prompt)} → {count(generated)} tokens
        </span>
      </button>
      <Waterfall flow={flow} longest={longest} />
      {shown && (
        <div class="flow-more">
          <p class="soft">
            Came at {clock(came_ms)}, ended by {reason}; {count(cached)} of {count(prompt)} prompt tokens were in the KV cache.{' '}
            <a href={`v1/requests/${encodeURIComponent(id)}/trace`} download={`${id}.json`}>
              Trace for Perfetto
            </a>
          </p>
          <Stages flow={flow} />
        </div>
      )}
    </li>
  );
}

/** Which colour is which stage. */
function Key() {
  return (
    <ul class="legend">
      {(Object.keys(STAGES) as Stage[]).map((stage) => (
        <li key={stage}>
          <span class={`swatch stage-${stage}`} />
          {STAGES[stage]}
        </li>
      ))}
    </ul>
  );
}
