// What is unusual, and why.

import { Icon } from '../components/icons.tsx';
import { nameOf } from '../telemetry/engines.ts';
import { engines, told } from '../telemetry/store.ts';
import type { Anomaly } from '../telemetry/wire.ts';
import { clock, count, percent, time } from '../telemetry/words.ts';
import { Nothing, Panel } from './panel.tsx';

const ABOUT =
  'What differs from normal times, with what most likely causes it, and the numbers that speak for that beside what they usually are. It is shown for an hour after it is over.';

export function Anomalies() {
  const all = told.anomalies.value;
  return (
    <Panel title="Anomalies" about={ABOUT} class="wide">
      {all.length === 0 && <Nothing>Nothing unusual in the last hour.</Nothing>}
      <ul class="anomalies" aria-live="polite">
        {all.map((anomaly) => (
          <Row key={anomaly.id} {...anomaly} />
        ))}
      </ul>
    </Panel>
  );
}

function Row(anomaly: Anomaly) {
  const { symptom, cause, message, since_ms, until_ms, evidence } = anomaly;
  return (
    <li class={until_ms === null ? 'lasting' : 'over'}>
      <Icon name={until_ms === null ? 'alert' : 'check'} />
      <div>
        <h3>
          {words(cause)} <span class="tag">{words(symptom)}</span> <span class="tag">{nameOf(anomaly, engines.value)}</span>
        </h3>
        <p>{message}</p>
        <p class="soft">
          {until_ms === null ? `since ${clock(since_ms)}` : `${clock(since_ms)} to ${clock(until_ms)}`}
          {evidence.map(({ name, value, usual, unit }) => (
            <span key={name}>
              {' '}
              · {words(name.replace(/_share$/, ''), false)} <b>{amount(name, value, unit)}</b>, usually {amount(name, usual, unit)}
            </span>
          ))}
        </p>
      </div>
    </li>
  );
}

/** A word of the program, as people write it. */
export function words(name: string, first = true): string {
  const text = name.replaceAll('_', ' ').replaceAll('kv ', 'KV ');
  return first ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

function amount(name: string, value: number | null, unit: string): string {
  if (name.endsWith('_share')) return percent(value);
  if (unit === 'ms') return time(value);
  if (unit === 's') return time((value ?? NaN) * 1000);
  return `${count(value)}${unit && ` ${unit}`}`;
}
