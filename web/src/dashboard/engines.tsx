// Models, their variants and the devices that they run on, beside each other.

import { everybody, idOf, nameOf, windowOf } from '../telemetry/engines.ts';
import { comparedOver, engines, told } from '../telemetry/store.ts';
import { WINDOWS, type Engine, type RequestWindow, type StepWindow } from '../telemetry/wire.ts';
import { count, percent, time } from '../telemetry/words.ts';
import { Choice } from './choice.tsx';
import { Nothing, Panel } from './panel.tsx';
import { Table, type ColumnOf } from './table.tsx';

const ABOUT =
  'Each model, variant and device beside the others, over the chosen window. Success is the share of requests that were answered; hits are prompt tokens that the KV cache had; repetition is how much of an answer was there before in it; busy is the share of time in steps.';

interface Row {
  engine: Engine;
  requests: RequestWindow | undefined;
  steps: StepWindow | undefined;
}

const per = (amount: number | undefined, seconds: number | undefined) => (amount !== undefined && seconds ? amount / seconds : null);

const share = (part: number | undefined, whole: number | undefined) => (part !== undefined && whole ? part / whole : null);

const COLUMNS: ColumnOf<Row>[] = [
  { title: 'Engine', cell: ({ engine }) => nameOf(engine, engines.value) },
  { title: 'Device', cell: ({ engine }) => engine.device },
  { title: 'Running', cell: ({ engine }) => count(engine.now.running) },
  { title: 'Waiting', cell: ({ engine }) => count(engine.now.waiting) },
  { title: 'Requests/s', cell: ({ requests }) => count(per(requests?.requests.ended, requests?.seconds)) },
  { title: 'Tokens/s', cell: ({ steps }) => count(per(steps?.work.tokens, steps?.seconds)) },
  { title: 'First token p50', cell: ({ requests }) => time(requests?.first_token?.p50) },
  { title: 'p90', cell: ({ requests }) => time(requests?.first_token?.p90) },
  { title: 'p99', cell: ({ requests }) => time(requests?.first_token?.p99) },
  { title: 'Between p90', cell: ({ requests }) => time(requests?.between?.p90) },
  { title: 'End to end p90', cell: ({ requests }) => time(requests?.total?.p90) },
  { title: 'Success', cell: ({ requests }) => percent(share(requests?.requests.succeeded, requests?.requests.ended)) },
  { title: 'Hits', cell: ({ requests }) => percent(share(requests?.tokens.cached, requests?.tokens.prompt)) },
  { title: 'Answer tokens', cell: ({ requests }) => count(requests?.answer_tokens?.mean) },
  { title: 'Repetition', cell: ({ requests }) => percent(requests?.repetition?.mean) },
  { title: 'Quality', cell: ({ requests }) => percent(requests?.quality) },
  { title: 'Rows a step', cell: ({ steps }) => count(steps?.rows?.mean) },
  { title: 'Busy', cell: ({ steps }) => percent(steps?.busy) },
];

export function Engines() {
  const series = told.series.value;
  const rows = told.engines.value.map((engine): Row => ({
    engine,
    requests: windowOf(everybody(series, engine)?.windows ?? [], comparedOver.value),
    steps: windowOf(engine.windows, comparedOver.value),
  }));
  return (
    <Panel title="Models and variants" about={ABOUT} class="wide" aside={<WindowChoice />}>
      {rows.length === 0 ? <Nothing>No model is loaded yet.</Nothing> : <Table label="Models and variants" columns={COLUMNS} rows={rows} keyOf={({ engine }) => idOf(engine)} />}
      <Alike />
    </Panel>
  );
}

/** Over which window things are compared. */
export function WindowChoice() {
  const options = WINDOWS.map((name) => [name, name.replace(/(\d+)/, '$1 ')] as const);
  return <Choice label="Window" options={options} value={comparedOver.value} onChoose={(name) => (comparedOver.value = name)} />;
}

/** Engines whose step times go alike. */
function Alike() {
  const all = told.correlations.value;
  if (all.length === 0) return null;
  return (
    <p class="soft">
      Step times of the last hour go alike by:{' '}
      {all.map(({ one, other, coefficient }) => `${nameOf(one, engines.value)} and ${nameOf(other, engines.value)} ${coefficient.toFixed(2)}`).join('; ')}
    </p>
  );
}
