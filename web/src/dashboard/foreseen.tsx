// What was expected of requests beside what happened.

import { signal } from '@preact/signals';
import { idOf, nameOf } from '../telemetry/engines.ts';
import { chosen, engines, told } from '../telemetry/store.ts';
import type { Accuracy, Beside, Predictions } from '../telemetry/wire.ts';
import { count, percent, time } from '../telemetry/words.ts';
import { Choice } from './choice.tsx';
import { Nothing, Panel } from './panel.tsx';
import { Table, type ColumnOf } from './table.tsx';

const ABOUT =
  'For each of the last requests the interval in which its time was expected nine in ten times (bar), and what happened (dot; orange if it missed the bar). Inside should be at least 90 %; the narrower the intervals, the more is known.';

type What = 'first_token' | 'total';

const WHAT: [What, string][] = [['first_token', 'First token'], ['total', 'End to end']];

const what = signal<What>('first_token');

/** Requests that are drawn. */
const MOST = 120;

interface Row extends Accuracy {
  name: string;
}

const COLUMNS: ColumnOf<Row>[] = [
  { title: 'Engine', cell: ({ name }) => name },
  { title: 'Requests', cell: ({ requests }) => count(requests) },
  { title: 'Inside', cell: ({ inside, requests }) => percent(requests > 0 ? inside : null) },
  { title: 'Off by', cell: ({ error, requests }) => percent(requests > 0 ? error : null) },
  { title: 'Width', cell: ({ width, requests }) => percent(requests > 0 ? width : null) },
];

export function Foreseen() {
  const all = told.predictions.value;
  const mine = all.filter((one) => !chosen.value || idOf(one) === chosen.value);
  const recent = mine.flatMap((one) => one.recent).sort((a, b) => a.time_ms - b.time_ms);
  const times = recent.map((one) => one[what.value]).filter(({ actual }) => actual > 0).slice(-MOST);
  const row = (one: Predictions): Row => ({ name: nameOf(one, engines.value), ...one[what.value] });
  return (
    <Panel title="Predictions" about={ABOUT} class="wide" aside={<Choice label="What is predicted" options={WHAT} value={what.value} onChoose={(one) => (what.value = one)} />}>
      {times.length === 0 ? <Nothing>No request has been predicted yet: the first ones teach how long steps take.</Nothing> : <Intervals times={times} />}
      {mine.length > 0 && <Table label="How good predictions are" columns={COLUMNS} rows={mine.map(row)} keyOf={({ name }) => name} />}
    </Panel>
  );
}

/** A bar and a dot for each request, oldest first, on a scale of logarithms. */
function Intervals({ times }: { times: Beside[] }) {
  const [low, high] = bounds(times);
  const y = (ms: number) => `${(1 - (Math.log(Math.max(ms, low)) - Math.log(low)) / (Math.log(high) - Math.log(low))) * 100}%`;
  const inside = times.filter(hit).length;
  return (
    <div class="intervals">
      <ol class="scale" aria-hidden="true">
        {[high, Math.sqrt(high * low), low].map((ms) => (
          <li key={ms}>{time(ms)}</li>
        ))}
      </ol>
      <svg role="img" aria-label={`${inside} of the last ${times.length} requests were within what was expected`}>
        {times.map((one, i) => {
          const x = `${((i + 0.5) / times.length) * 100}%`;
          return (
            <g key={i} class={hit(one) ? 'hit' : 'miss'}>
              <line x1={x} x2={x} y1={y(one.least)} y2={y(one.most)} />
              <circle cx={x} cy={y(one.actual)} r="2.5" />
            </g>
          );
        })}
      </svg>
    </div>
  );
}

const hit = ({ least, most, actual }: Beside) => least <= actual && actual <= most;

/** From the least to the most that is drawn, never nothing. */
function bounds(times: Beside[]): [number, number] {
  const all = times.flatMap(({ least, most, actual }) => [least, most, actual]).filter((ms) => ms > 0);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  return [low / 1.1, Math.max(high * 1.1, low * 1.5)];
}
