// Faults that somebody has injected on purpose: while they last, nothing else on the page is what it seems.

import { Icon } from '../components/icons.tsx';
import { told } from '../telemetry/store.ts';
import type { Fault } from '../telemetry/wire.ts';
import { count, percent, time } from '../telemetry/words.ts';
import { words } from './anomalies.tsx';
import { Panel } from './panel.tsx';

const ABOUT =
  'Faults that an operator has injected to test clients and this page. What they do to requests is counted as if it had happened by itself. Each ends by itself, or with DELETE /admin/faults.';

export function Faults() {
  const all = told.faults.value;
  if (all.length === 0) return null;
  return (
    <Panel title="Faults on purpose" about={ABOUT} class="wide">
      <ul class="anomalies" aria-live="polite">
        {all.map((fault) => (
          <Row key={fault.id} {...fault} />
        ))}
      </ul>
    </Panel>
  );
}

function Row({ id, kind, share, match, hits, ends_in }: Fault) {
  const whom = Object.entries(match).map(([name, value]) => `${name} ${value}`).join(', ');
  return (
    <li class="lasting">
      <Icon name="alert" />
      <div>
        <h3>
          {words(kind)} <span class="tag">{id}</span>
        </h3>
        <p>
          {percent(share)} of the requests{whom && ` with ${whom}`}, for {time(ends_in * 1000)} more. {count(hits)} were hit.
        </p>
      </div>
    </li>
  );
}
