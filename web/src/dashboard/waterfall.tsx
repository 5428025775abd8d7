// A request's way as bars over time, and as a list.

import type { Flow, Span } from '../telemetry/wire.ts';
import { count, STAGES, time } from '../telemetry/words.ts';
import { Table, type ColumnOf } from './table.tsx';

/** Bars on one line; `longest` is the whole width, in microseconds. */
export function Waterfall({ flow: { id, total_us, spans }, longest }: { flow: Flow; longest: number }) {
  const percent = (us: number) => `${(us / longest) * 100}%`;
  const label = spans.map(({ stage, start_us, end_us }) => `${STAGES[stage]} ${time((end_us - start_us) / 1000)}`).join(', ');
  return (
    <div class="waterfall" role="img" aria-label={`${id}, ${time(total_us / 1000)}: ${label}`}>
      {spans.map(({ stage, start_us, end_us }, i) => (
        <span key={i} class={`bar stage-${stage}`} style={{ left: percent(start_us), width: percent(end_us - start_us) }} />
      ))}
    </div>
  );
}

const COLUMNS: ColumnOf<Span>[] = [
  { title: 'Stage', cell: ({ stage }) => STAGES[stage] },
  { title: 'From', cell: ({ start_us }) => time(start_us / 1000) },
  { title: 'Took', cell: ({ start_us, end_us }) => time((end_us - start_us) / 1000) },
  { title: 'Tokens', cell: ({ tokens }) => (tokens > 0 ? count(tokens) : '') },
];

export function Stages({ flow: { id, spans } }: { flow: Flow }) {
  return <Table label={`Stages of ${id}`} columns={COLUMNS} rows={spans} keyOf={({ stage, start_us }) => `${stage} ${start_us}`} />;
}
