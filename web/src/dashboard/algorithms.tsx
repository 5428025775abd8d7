// What algorithms count of their own: policies, executors and tiers.

import { told } from '../telemetry/store.ts';
import type { Own } from '../telemetry/wire.ts';
import { count } from '../telemetry/words.ts';
import { Panel } from './panel.tsx';
import { Table } from './table.tsx';

const ABOUT = 'Counters, numbers and histograms that a policy, an executor or a tier has registered. They are in /metrics as whinchat_algorithm_NAME.';

type Row = Own & { model: string };

export function Algorithms() {
  const rows: Row[] = told.algorithms.value.flatMap(({ model, metrics }) => metrics.map((own) => ({ ...own, model })));
  if (rows.length === 0) return null;
  return (
    <Panel title="Algorithms" about={ABOUT} class="wide">
      <Table
        label="What algorithms count"
        rows={rows}
        keyOf={({ model, name }) => `${model} ${name}`}
        columns={[
          { title: 'Name', cell: ({ name, help }) => <span title={help}>{name}</span> },
          { title: 'Model', cell: ({ model }) => model },
          { title: 'Value', cell: shown },
        ]}
      />
    </Panel>
  );
}

/** The number, or how many values there were and their mean. */
function shown(own: Row): string {
  if (own.kind === 'counter') return count(own.count);
  if (own.kind === 'gauge') return own.value.toPrecision(4);
  const values = own.buckets.reduce((sum, [, number]) => sum + number, 0);
  return values === 0 ? 'none' : `${count(values)}, mean ${(own.sum / values).toPrecision(4)}`;
}
