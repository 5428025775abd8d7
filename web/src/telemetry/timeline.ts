// One engine over time: a point every ten seconds for a day, and samples of the last minutes as they came.

import { COLUMNS, type Column, type History, type Values } from './wire.ts';

/** How long points and samples are kept, in seconds. */
const DAY_S = 24 * 3600;
const SAMPLES_S = 900;

/** Samples are not nearer to each other than this; the last one is replaced instead. */
const SAMPLE_S = 1;

/** More rows than this are more than a chart has columns of pixels: rows are drawn together. */
const MOST = 900;

/** Longer without anything is a gap: nothing is drawn across it. */
const GAP_S = 25;

type Numbers = (number | null)[];

/** Aligned columns, the first of them times in seconds: what a chart draws. */
export type Aligned = [number[], ...Numbers[]];

/** Rows in the order of time, column by column. */
class Track {
  times: number[] = [];
  private columns: Numbers[] = COLUMNS.map(() => []);

  get end(): number {
    return this.times.at(-1) ?? 0;
  }

  /** Adds a row: what `value` gives for each column. */
  push(at: number, value: (column: number) => number | null | undefined) {
    if (this.times.length > 0 && at - this.end > GAP_S) this.row(this.end + 1, () => null);
    this.row(at, value);
  }

  pop() {
    this.times.pop();
    this.columns.forEach((column) => column.pop());
  }

  private row(at: number, value: (column: number) => number | null | undefined) {
    this.times.push(at);
    this.columns.forEach((column, i) => column.push(value(i) ?? null));
  }

  /** Forgets what is before a time. */
  trim(before: number) {
    const many = this.index(before);
    if (many === 0) return;
    this.times.splice(0, many);
    this.columns.forEach((column) => column.splice(0, many));
  }

  /** The first row that is not before `at`. */
  index(at: number): number {
    let [low, high] = [0, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.times[middle] as number) < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  slice(names: readonly Column[], from: number, to?: number): Aligned {
    const columns = names.map((name) => (this.columns[COLUMNS.indexOf(name)] ?? []).slice(from, to));
    return [this.times.slice(from, to), ...columns];
  }
}

export class Timeline {
  private points = new Track();
  private samples = new Track();
  /** When the sample before the last one was. */
  private base = -Infinity;

  /** Points that the server remembers; those that are not after the last one are known already. */
  load({ time, columns, values }: History) {
    const ordered = COLUMNS.map((name) => values[columns.indexOf(name)]);
    for (const [i, at] of time.entries()) {
      if (at > this.points.end) this.points.push(at, (column) => ordered[column]?.[i]);
    }
    this.trim();
  }

  /** What holds at this moment. */
  sample(at: number, values: Values) {
    if (at < this.samples.end) return;
    if (at - this.base < SAMPLE_S) this.samples.pop();
    else this.base = this.samples.end;
    this.samples.push(at, (column) => values[COLUMNS[column] as Column]);
    this.trim();
  }

  /** The last moment that is known of, in seconds since 1970. */
  get end(): number {
    return Math.max(this.points.end, this.samples.end);
  }

  /** Up to where the server's memory is known; 0 if nothing of it is. */
  get lastPoint(): number {
    return this.points.end;
  }

  /** The last so many seconds. Near ones are drawn sample by sample; of far ones only the end is newer than the last point. */
  view(names: readonly Column[], seconds: number): Aligned {
    const from = this.end - seconds;
    const { points, samples } = this;
    const first = seconds <= SAMPLES_S ? samples.index(from) : Math.max(samples.times.length - 1, 0);
    const border = samples.times[first] ?? Infinity;
    // One point more than fits, so that the line begins at the edge.
    const before = points.slice(names, Math.max(points.index(from) - 1, 0), points.index(border));
    const after = samples.slice(names, first);
    return thin(join(before, after), names);
  }

  private trim() {
    const { end } = this;
    this.points.trim(end - DAY_S);
    this.samples.trim(end - SAMPLES_S);
  }
}

/** One after the other, with a row of nothing where time is missing between them. */
function join([times, ...columns]: Aligned, [later, ...others]: Aligned): Aligned {
  const end = times.at(-1);
  const gap = end !== undefined && later[0] !== undefined && later[0] - end > GAP_S;
  const joined = columns.map((column, i) => [...column, ...(gap ? [null] : []), ...(others[i] ?? [])]);
  return [[...times, ...(gap ? [end + 1] : []), ...later], ...joined];
}

/** So many rows in one that no more than fit are left: of percentiles the worst, of others the mean. The last row stays by itself. */
function thin([times, ...columns]: Aligned, names: readonly Column[]): Aligned {
  const many = Math.ceil(times.length / MOST);
  if (many < 2) return [times, ...columns];
  // Rows that were drawn together stay together when others come after them.
  const first = many - (Math.floor((times[0] as number) / 10) % many);
  const ends = [first];
  while ((ends.at(-1) as number) + many < times.length - 1) ends.push((ends.at(-1) as number) + many);
  ends.push(times.length - 1, times.length);
  const fold = (column: Numbers, worst: boolean) => ends.map((end, i) => (worst ? highest : mean)(column, ends[i - 1] ?? 0, end));
  return [ends.map((end) => times[end - 1] as number), ...columns.map((column, i) => fold(column, /_p\d+$/.test(names[i] as string)))];
}

function highest(column: Numbers, from: number, to: number): number | null {
  let most: number | null = null;
  for (let i = from; i < to; i++) most = column[i] === null ? most : Math.max(most ?? -Infinity, column[i] as number);
  return most;
}

function mean(column: Numbers, from: number, to: number): number | null {
  let [sum, known] = [0, 0];
  for (let i = from; i < to; i++) {
    if (column[i] === null) continue;
    sum += column[i] as number;
    known += 1;
  }
  return known > 0 ? sum / known : null;
}
