// What the page knows: the last of each part that the server told, and the chosen engine over time.

import { batch, computed, signal, type Signal } from '@preact/signals';
import { history, listen, useKey, type Link } from './connection.ts';
import { idOf, together, valuesOf } from './engines.ts';
import { Timeline } from './timeline.ts';
import type {
  Algorithms, Anomaly, Core, Correlation, Engine, Fault, Flow, Labels, Message, Predictions, Recommendation, Release, Series, Server, Values,
  WindowName,
} from './wire.ts';
import { POINT_S } from './wire.ts';

export const link = signal<Link>('connecting');

/** Why the server refuses. */
export const refusal = signal('');

/** The last of each part. What shows a part is drawn anew when that part is another one. */
export const told = {
  server: signal<Server | null>(null),
  engines: signal<Engine[]>([]),
  series: signal<Series[]>([]),
  predictions: signal<Predictions[]>([]),
  slowest: signal<Flow[]>([]),
  anomalies: signal<Anomaly[]>([]),
  recommendations: signal<Recommendation[]>([]),
  correlations: signal<Correlation[]>([]),
  cores: signal<Core[]>([]),
  faults: signal<Fault[]>([]),
  releases: signal<Release[]>([]),
  algorithms: signal<Algorithms[]>([]),
};

/** The id of the engine that is drawn; empty for all together. */
export const chosen = signal('');

/** Seconds that are drawn. */
export const range = signal(300);

/** Which window engines and tenants are compared over. */
export const comparedOver = signal<WindowName>('1m');

/** Rises when charts are to be drawn. */
export const drawn = signal(0);

const ids = computed(() => JSON.stringify(told.engines.value.map(({ model, variant, device }) => ({ model, variant, device }))));

/** Which engines there are, whatever they do. */
export const engines = computed(() => JSON.parse(ids.value) as Labels[]);

/** What the chosen engine does now. */
export const now = computed((): Values => {
  const all = told.engines.value;
  const mine = chosen.value ? all.filter((engine) => idOf(engine) === chosen.value) : all;
  return together(mine.map((engine) => valuesOf(engine, told.series.value)));
});

let timeline = new Timeline();

/** The chosen engine over time. */
export function series(): Timeline {
  return timeline;
}

/** A chart of a long time changes by less than a pixel in a second: it is not drawn more often. */
const SLOW_MS = 1000;
const SLOW_RANGE_S = 900;

let waiting = false;
let last = 0;

/** Draws with the browser's next frame, or when a second is over. */
function draw() {
  if (waiting) return;
  waiting = true;
  const frame = () =>
    requestAnimationFrame(() => {
      waiting = false;
      last = performance.now();
      drawn.value += 1;
    });
  const pause = range.value > SLOW_RANGE_S ? SLOW_MS - (performance.now() - last) : 0;
  if (pause > 0) setTimeout(frame, pause);
  else frame();
}

/** Draws at once, whatever was drawn before. */
function drawNow() {
  last = performance.now();
  drawn.value += 1;
}

/** When the server's memory was asked last, by its clock. */
let asked = 0;

export function take(message: Message) {
  batch(() => {
    for (const [name, part] of Object.entries(message)) {
      const known = told[name as keyof Message] as Signal<unknown> | undefined;
      if (known) known.value = part;
    }
    const at = message.server ? message.server.time_ms / 1000 : timeline.end;
    if (engines.value.length > 0) timeline.sample(at, now.value);
    if (at - Math.max(timeline.lastPoint, asked) > 2 * POINT_S) {
      asked = at;
      void remember();
    }
  });
  draw();
}

export function choose(id: string) {
  chosen.value = id;
  timeline = new Timeline();
  void remember();
}

export function show(seconds: number) {
  range.value = seconds;
  drawNow();
}

let asking: Timeline | undefined;

/** Asks the server for what is missing of the chosen engine. */
async function remember() {
  const mine = timeline;
  if (asking === mine) return;
  asking = mine;
  const engine = engines.value.find((one) => idOf(one) === chosen.value);
  const found = await history(engine, mine.lastPoint);
  if (asking === mine) asking = undefined;
  if (!found || mine !== timeline) return;
  mine.load(found);
  drawNow();
}

let connection = new AbortController();

export function connect() {
  connection.abort();
  connection = new AbortController();
  const told = (state: Link, why = '') => {
    link.value = state;
    refusal.value = why;
    if (state === 'live') void remember();
  };
  void listen({ message: take, link: told }, connection.signal);
}

/** Tries again with a key. */
export function unlock(key: string) {
  useKey(key);
  link.value = 'connecting';
  connect();
}
