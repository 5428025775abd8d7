// What engines do, in numbers that charts draw: one engine, or all together.

import type { Column, Engine, Labels, Quantiles, RequestWindow, Series, StepWindow, Values, WindowName } from './wire.ts';

/** An engine's name in lists and addresses; all together are the empty one. */
export function idOf({ model, variant, device }: Labels): string {
  return JSON.stringify([model, variant, device]);
}

/** What people call it: no more of it than tells it from others. */
export function nameOf({ model, variant, device }: Labels, among: readonly Labels[]): string {
  const alike = among.filter((other) => other.model === model);
  const several = (part: keyof Labels) => new Set(alike.map((other) => other[part])).size > 1;
  return [model, several('variant') || variant ? variant : '', several('device') ? device : ''].filter(Boolean).join(' · ');
}

export function windowOf<T extends { window: WindowName }>(windows: readonly T[], name: WindowName): T | undefined {
  return windows.find(({ window }) => window === name);
}

/** Everybody's requests of an engine. */
export function everybody(series: readonly Series[], of: Labels): Series | undefined {
  const id = idOf(of);
  return series.find((one) => one.tenant === null && idOf(one) === id);
}

/** What an engine does now, as a point of its history would have it. */
export function valuesOf(engine: Engine, series: readonly Series[]): Values {
  const steps = windowOf(engine.windows, '10s');
  const requests = windowOf(everybody(series, engine)?.windows ?? [], '10s');
  const { running, waiting, kv } = engine.now;
  return {
    running,
    waiting,
    kv_used: kv.blocks > 0 ? kv.used / kv.blocks : null,
    kv_kept: kv.blocks > 0 ? kv.kept / kv.blocks : null,
    ...(requests && ofRequests(requests)),
    ...(steps && ofSteps(steps)),
  };
}

function ofRequests({ seconds, requests, queue, first_token, between, total }: RequestWindow): Values {
  return {
    ended: scaled(requests.ended, seconds),
    failed: scaled(requests.failed, seconds),
    queue_p50: queue?.p50 ?? null,
    first_token_p50: first_token?.p50 ?? null,
    first_token_p99: first_token?.p99 ?? null,
    between_p50: between?.p50 ?? null,
    between_p99: between?.p99 ?? null,
    total_p50: total?.p50 ?? null,
    total_p99: total?.p99 ?? null,
  };
}

function ofSteps({ seconds, busy, work, decode, prefill, mixed }: StepWindow): Values {
  return {
    busy,
    prompt_tokens: scaled(work.prefill_rows + work.found, seconds),
    cached_tokens: scaled(work.found, seconds),
    generated_tokens: scaled(work.tokens, seconds),
    prefill_rows: scaled(work.prefill_rows, seconds),
    decode_rows: scaled(work.decode_rows, seconds),
    preempted: scaled(work.preempted, seconds),
    step_p50: middle([decode, prefill, mixed]),
  };
}

/** As many as ten seconds would have, where fewer have passed. */
function scaled(count: number, seconds: number): number | null {
  return seconds > 0 ? (count * 10) / seconds : null;
}

/** The median of the kind of step that most were of. */
function middle(kinds: (Quantiles | null)[]): number | null {
  const most = kinds.reduce((best, kind) => ((kind?.count ?? 0) > (best?.count ?? 0) ? kind : best), null);
  return most?.p50 ?? null;
}

/** Of which columns several engines together have the worst of each; of the others they have the sum. */
const WORST: ReadonlySet<Column> = new Set<Column>([
  'queue_p50', 'first_token_p50', 'first_token_p99', 'between_p50', 'between_p99', 'total_p50', 'total_p99', 'step_p50', 'kv_used', 'kv_kept', 'busy',
]);

/** Several engines together. */
export function together(all: readonly Values[]): Values {
  const [first, ...others] = all;
  const joined: Values = { ...first };
  for (const values of others) {
    for (const [name, value] of Object.entries(values) as [Column, number | null][]) {
      joined[name] = join(name, joined[name] ?? null, value);
    }
  }
  return joined;
}

function join(name: Column, a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return WORST.has(name) ? Math.max(a, b) : a + b;
}
