// What the dashboard keeps of an engine over time, without a browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './support/modules.mjs';

const { Timeline } = await load('telemetry/timeline.ts');
const { together, valuesOf } = await load('telemetry/engines.ts');

/** A timeline that remembers these points and was told these samples, both pairs of a time and how many ended. */
function timeline(points, samples) {
  const made = new Timeline();
  made.load({ time: points.map(([at]) => at), columns: ['ended'], values: [points.map(([, ended]) => ended)] });
  for (const [at, ended] of samples) made.sample(at, { ended });
  return made;
}

test('what is drawn', () => {
  const check = (points, samples, seconds, times, ended) => assert.deepEqual(timeline(points, samples).view(['ended'], seconds), [times, ended]);
  const points = [[100, 1], [110, 2], [120, 3]];
  check([], [], 60, [], []);
  check(points, [], 1000, [100, 110, 120], [1, 2, 3]);
  // A point more than fits, for the line to begin at the edge.
  check(points, [], 5, [110, 120], [2, 3]);
  // Samples stand for what points would be at the same time.
  check(points, [[115, 7], [121, 8], [125, 9]], 900, [100, 110, 115, 121, 125], [1, 2, 7, 8, 9]);
  // Of a long time only the last sample is newer.
  check(points, [[115, 7], [121, 8], [125, 9]], 3600, [100, 110, 120, 125], [1, 2, 3, 9]);
  // Samples within a second: the last one stays.
  check([], [[10, 1], [10.4, 2], [10.9, 3], [11.95, 4]], 60, [10, 10.9, 11.95], [1, 3, 4]);
  // Nothing is drawn where the server was away.
  check([[100, 1], [200, 2]], [[300, 3]], 900, [100, 101, 200, 201, 300], [1, null, 2, null, 3]);
  // What is known already or older is left out.
  check([[100, 1], [90, 5], [100, 6], [110, 2]], [[120, 3], [119, 4]], 900, [100, 110, 120], [1, 2, 3]);
});

/** As many points as this, the last of them at 99,990 seconds. */
const many = (count) => Array.from({ length: count }, (_, i) => [99_990 - (count - 1 - i) * 10, i]);

test('a day is kept, and drawn in as many rows as a chart has room for', () => {
  const [times, ended] = timeline(many(10_000), []).view(['ended'], 1e9);
  assert.ok(times[0] >= 99_990 - 86_400 && times[0] <= 99_990 - 86_300, `${times[0]}`);
  assert.ok(times.length > 700 && times.length < 905, `${times.length}`);
  assert.deepEqual([times.at(-1), ended.at(-1)], [99_990, 9999]);
  assert.ok(times.every((at, i) => i === 0 || at > times[i - 1]));
});

test('rows that are drawn together have the mean, of percentiles the worst', () => {
  const made = new Timeline();
  const time = many(2000).map(([at]) => at);
  made.load({ time, columns: ['ended', 'total_p99'], values: [time.map((_, i) => i % 3), time.map((_, i) => (i === 1000 ? 77 : i % 3))] });
  const [, ended, p99] = made.view(['ended', 'total_p99'], 1e9);
  assert.ok(Math.abs(ended.slice(1, -2).reduce((sum, value) => sum + value) / (ended.length - 3) - 1) < 0.01);
  assert.deepEqual([Math.max(...p99), p99[10]], [77, 2]);
});

test('rows stay together when others come', () => {
  const before = timeline(many(8000), []).view(['ended'], 50_000);
  const later = timeline([...many(8000), [100_000, 1]], []).view(['ended'], 50_000);
  const shared = before[0].slice(5, -3);
  assert.deepEqual(shared.filter((at) => !later[0].includes(at)), []);
});

test('several engines together', () => {
  const check = (all, wanted) => assert.deepEqual(together(all), wanted);
  check([], {});
  check([{ ended: 1, busy: 0.5 }], { ended: 1, busy: 0.5 });
  check([{ ended: 1, busy: 0.5, total_p99: null }, { ended: 2, busy: 0.25, total_p99: 9 }], { ended: 3, busy: 0.5, total_p99: 9 });
});

test('an engine that has only begun is counted by the time that has passed', () => {
  const kv = { blocks: 0, used: 0, kept: 0, spilled: 0, restored: 0 };
  const now = { running: 1, waiting: 2, stalled: 0, prefill_rows: 0, decode_rows: 0, kv };
  const work = { prefill_rows: 3, decode_rows: 4, found: 1, tokens: 5, preempted: 0 };
  const engine = { model: 'a', variant: '', device: 'cpu', now, windows: [{ window: '10s', seconds: 2, steps: 1, busy: 0.5, work, rows: null, decode: null, prefill: null, mixed: null }] };
  const { running, generated_tokens, prompt_tokens, kv_used, step_p50 } = valuesOf(engine, []);
  assert.deepEqual([running, generated_tokens, prompt_tokens, kv_used, step_p50], [1, 25, 20, null, null]);
});
