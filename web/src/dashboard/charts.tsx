// What is drawn over time, chart by chart.

import { Fragment } from 'preact';
import { count, percent, time } from '../telemetry/words.ts';
import { POINT_S } from '../telemetry/wire.ts';
import { Chart, type ChartProps, type Line } from './chart.tsx';

const line = (column: Line['column'], label: string, colour: string): Line => ({ column, label, colour });

const spread = (p50: Line['column'], p99: Line['column']): Line[] => [line(p50, 'p50', '--series-1'), line(p99, 'p99', '--series-2')];

const perSecond = 1 / POINT_S;

const CHARTS: ChartProps[] = [
  {
    title: 'Throughput',
    about: 'Tokens per second. Prompt counts what was computed and what the KV cache had; cached is the part that it had.',
    lines: [line('generated_tokens', 'Generated', '--series-1'), line('prompt_tokens', 'Prompt', '--series-3'), line('cached_tokens', 'Cached', '--series-4')],
    format: count,
    scale: perSecond,
    most: 1,
  },
  {
    title: 'First token',
    about: 'From a request’s coming to its first token: of half of the requests, and of ninety-nine in a hundred, at most.',
    lines: spread('first_token_p50', 'first_token_p99'),
    format: time,
    most: 1,
  },
  {
    title: 'Between tokens',
    about: 'From one token of an answer to its next.',
    lines: spread('between_p50', 'between_p99'),
    format: time,
    most: 1,
  },
  {
    title: 'End to end',
    about: 'From a request’s coming to its last token.',
    lines: spread('total_p50', 'total_p99'),
    format: time,
    most: 1,
  },
  {
    title: 'Queue',
    about: 'Sequences that run, and those that wait for their first token. Waiting that grows means more is asked than can be answered.',
    lines: [line('running', 'Running', '--series-1'), line('waiting', 'Waiting', '--series-2')],
    format: count,
    stacked: true,
    most: 1,
  },
  {
    title: 'Time in the queue',
    about: 'From a request’s coming to the step that takes it up, of half of the requests at most.',
    lines: [line('queue_p50', 'p50', '--series-1')],
    format: time,
    most: 1,
  },
  {
    title: 'KV memory',
    about: 'The share of the KV cache that sequences use, and the share that is kept for prompts that begin alike. What is kept counts as free.',
    lines: [line('kv_used', 'Used', '--series-1'), line('kv_kept', 'Kept', '--series-4')],
    format: percent,
    stacked: true,
    most: 1 / 1.06,
  },
  {
    title: 'Batch composition',
    about: 'Rows per second that steps computed: of prompts (prefill) and of answers (decode). Long prompts crowd out answers where prefill prevails.',
    lines: [line('decode_rows', 'Decode', '--series-1'), line('prefill_rows', 'Prefill', '--series-3')],
    format: count,
    stacked: true,
    scale: perSecond,
    most: 1,
  },
  {
    title: 'Steps',
    about: 'How long half of the steps take at most.',
    lines: [line('step_p50', 'p50', '--series-1')],
    format: time,
    most: 1,
  },
  {
    title: 'Busy',
    about: 'The share of the time in which a step was being computed.',
    lines: [line('busy', 'Busy', '--series-1')],
    format: percent,
    most: 1 / 1.06,
  },
  {
    title: 'Requests',
    about: 'Requests that ended per second, those that failed, and preemptions: times that a sequence lost its memory to others.',
    lines: [line('ended', 'Ended', '--series-1'), line('failed', 'Failed', '--series-2'), line('preempted', 'Preempted', '--series-5')],
    format: count,
    scale: perSecond,
    most: 0.1,
  },
];

export function Charts() {
  return (
    <Fragment>
      {CHARTS.map((chart) => (
        <Chart key={chart.title} {...chart} />
      ))}
    </Fragment>
  );
}
