// What the server tells of itself: the messages of GET /v1/telemetry/stream, and the answer of GET /v1/telemetry/history.

/** An engine: which variant of which model runs on which device. */
export interface Labels {
  model: string;
  /** Empty if the model has one. */
  variant: string;
  device: string;
}

/** The numbers of a point in time: counts of ten seconds, milliseconds, shares. */
export const COLUMNS = [
  'ended', 'failed', 'running', 'waiting',
  'queue_p50', 'first_token_p50', 'first_token_p99', 'between_p50', 'between_p99', 'total_p50', 'total_p99', 'step_p50',
  'prompt_tokens', 'cached_tokens', 'generated_tokens', 'prefill_rows', 'decode_rows', 'preempted',
  'kv_used', 'kv_kept', 'busy',
] as const;

export type Column = (typeof COLUMNS)[number];

export type Values = Partial<Record<Column, number | null>>;

/** Seconds that the counts of a point are of. */
export const POINT_S = 10;

/** Points, oldest first. Times are in seconds since 1970. */
export interface History {
  time: number[];
  columns: Column[];
  /** For each column a number for each point. */
  values: (number | null)[][];
}

export const WINDOWS = ['10s', '1m', '10m', '1h'] as const;

export type WindowName = (typeof WINDOWS)[number];

export interface Quantiles {
  count: number;
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

export interface Engine extends Labels {
  now: Gauges;
  windows: StepWindow[];
}

/** What an engine does at this moment. */
export interface Gauges {
  running: number;
  waiting: number;
  stalled: number;
  prefill_rows: number;
  decode_rows: number;
  kv: { blocks: number; used: number; kept: number; spilled: number; restored: number };
}

/** Its steps in a window. */
export interface StepWindow {
  window: WindowName;
  /** How much of it has passed. */
  seconds: number;
  steps: number;
  /** Share of the time that they took. */
  busy: number;
  work: { prefill_rows: number; decode_rows: number; found: number; tokens: number; preempted: number };
  rows: Quantiles | null;
  decode: Quantiles | null;
  prefill: Quantiles | null;
  mixed: Quantiles | null;
}

/** The requests of an engine: everybody's (`tenant` is null), or a tenant's. */
export interface Series extends Labels {
  tenant: string | null;
  windows: RequestWindow[];
}

export interface RequestWindow {
  window: WindowName;
  seconds: number;
  requests: { ended: number; succeeded: number; cut: number; aborted: number; late: number; failed: number; preemptions: number };
  tokens: { prompt: number; cached: number; generated: number };
  queue: Quantiles | null;
  first_token: Quantiles | null;
  between: Quantiles | null;
  total: Quantiles | null;
  answer_tokens: Quantiles | null;
  /** Of answers: how much of each was there before in it. */
  repetition: Quantiles | null;
  quality: number | null;
}

export type Stage = 'queued' | 'prefill' | 'decode' | 'preempted' | 'sent';

/** A part of a request's way, in microseconds from its coming. */
export interface Span {
  stage: Stage;
  start_us: number;
  end_us: number;
  tokens: number;
}

/** A request that has ended, and its way. */
export interface Flow extends Labels {
  id: string;
  tenant: string | null;
  reason: string;
  came_ms: number;
  total_us: number;
  prompt: number;
  cached: number;
  generated: number;
  spans: Span[];
}

/** How often and how far what was expected was off. */
export interface Accuracy {
  requests: number;
  inside: number;
  error: number;
  width: number;
}

/** A time, and the interval in which it was expected nine in ten times. Milliseconds. */
export interface Beside {
  least: number;
  likely: number;
  most: number;
  actual: number;
}

export interface Predictions extends Labels {
  first_token: Accuracy;
  total: Accuracy;
  recent: { time_ms: number; first_token: Beside; total: Beside }[];
}

/** Something unusual, and what most likely caused it. */
export interface Anomaly extends Labels {
  id: number;
  symptom: string;
  cause: string;
  message: string;
  since_ms: number;
  /** `null` while it lasts. */
  until_ms: number | null;
  evidence: { name: string; value: number | null; usual: number | null; unit: string }[];
}

/** A setting to change. */
export interface Recommendation extends Labels {
  setting: string;
  value: string;
  reason: string;
  gain: { of: string; share: number };
  command: string;
}

/** Shares of the last second, of everything that ran. */
export interface Core {
  core: number;
  busy: number;
}

export interface Server {
  version: string;
  /** Milliseconds since 1970. */
  time_ms: number;
  uptime_s: number;
  /** Cores that this process kept busy in the last second. */
  own_cores: number | null;
}

/** How alike two engines' step times went. */
export interface Correlation {
  one: Labels;
  other: Labels;
  coefficient: number;
  points: number;
}

/** Requests of a variant since a release began. */
export interface Answered {
  ended: number;
  failed: number;
  /** Those that the stable variant answered instead. */
  fallbacks?: number;
}

/** A candidate beside the variant whose place it is to take. */
export interface Release {
  id: string;
  name: string;
  route: string;
  stable: string;
  candidate: string;
  state: 'loading' | 'shadow' | 'running' | 'paused' | 'ended';
  verdict: null | 'promoted' | 'rolled_back' | 'inconclusive' | 'aborted';
  why: string | null;
  /** Seconds since 1970. */
  ended: number | null;
  /** From 0. */
  stage: number;
  /** The candidate's. */
  share: number;
  /** Seconds in this stage. */
  stage_s: number;
  /** For harm; at `ends_at` it is rolled back. */
  evidence: { now: number; ends_at: number };
  /** Of this stage. */
  units: { stable: number; candidate: number };
  requests: { stable: Answered; candidate: Answered };
  waits_for: string[];
  shadow: null | { sentence: string };
  sentence: string;
  /** Whether it outlives the server. */
  durable: boolean;
  plan: { stages: { share: number; min_time_s: number; min_samples: number }[]; shadow: null | { share: number } };
  /** Seconds since it began, and the evidence then. */
  evidence_over_time: [number, number][];
}

/** A fault that was injected on purpose, as long as it lasts. */
export interface Fault {
  id: string;
  kind: string;
  share: number;
  /** Whom it hits, by what of a request. */
  match: Record<string, string>;
  hits: number;
  /** Seconds until it ends. */
  ends_in: number;
}

/** What policies, executors and tiers of a model count of their own. */
export interface Algorithms {
  model: string;
  metrics: Own[];
}

export type Own = { name: string; help: string } & (
  | { kind: 'counter'; count: number }
  | { kind: 'gauge'; value: number }
  | { kind: 'histogram'; buckets: [number | null, number][]; sum: number }
);

/** Everything but the history. */
export interface Snapshot {
  server: Server;
  engines: Engine[];
  series: Series[];
  predictions: Predictions[];
  slowest: Flow[];
  anomalies: Anomaly[];
  recommendations: Recommendation[];
  correlations: Correlation[];
  cores: Core[];
  faults: Fault[];
  releases: Release[];
  algorithms: Algorithms[];
}

/** The parts that have changed since the message before. */
export type Message = Partial<Snapshot>;
