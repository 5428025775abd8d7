// A chart of columns over time. It draws what is new where it can be seen.

import { useSignal, useSignalEffect, type Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { drawn, range, series } from '../telemetry/store.ts';
import type { Aligned } from '../telemetry/timeline.ts';
import type { Column } from '../telemetry/wire.ts';
import { themed } from './colours.ts';
import { Panel } from './panel.tsx';
import { plot, resize } from './plot.ts';

export interface Line {
  column: Column;
  label: string;
  /** A variable of the style. */
  colour: string;
}

export interface ChartProps {
  title: string;
  about: string;
  lines: Line[];
  format: (value: number | null | undefined) => string;
  /** Each line stands on the one before. */
  stacked?: boolean;
  /** From what is measured to what is shown. */
  scale?: number;
  /** The axis reaches this at least. */
  most?: number;
}

export function Chart(props: ChartProps) {
  const { title, about, lines, format, stacked = false, most = 0 } = props;
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const visible = useSignal(false);
  const shown = useSignal<Aligned>([[]]);
  const at = useSignal<number | null>(null);

  useEffect(() => {
    const host = box.current as HTMLDivElement;
    const made = plot(host, { colours: lines.map(({ colour }) => colour), format, stacked, most, onPoint: (i) => (at.value = i) });
    chart.current = made;
    const sight = new IntersectionObserver(([entry]) => (visible.value = entry?.isIntersecting ?? false));
    const size = new ResizeObserver(() => resize(made, host));
    sight.observe(host);
    size.observe(host);
    return () => {
      sight.disconnect();
      size.disconnect();
      made.destroy();
    };
  }, []);

  useSignalEffect(() => {
    if (drawn.value === 0 || !visible.value) return;
    const data = view(props);
    const end = series().end;
    shown.value = data;
    chart.current?.setData((stacked ? stack(data) : data) as uPlot.AlignedData, false);
    chart.current?.setScale('x', { min: end - range.peek(), max: end });
  });

  useSignalEffect(() => {
    if (themed.value > 0) chart.current?.redraw(false);
  });

  return (
    <Panel title={title} about={about}>
      <Legend lines={lines} format={format} shown={shown} at={at} />
      <div class="plot" ref={box} role="img" aria-label={`${title} over time`} />
    </Panel>
  );
}

/** The names of the lines, with their numbers at the pointer, else the last ones. */
function Legend({ lines, format, shown, at }: Pick<ChartProps, 'lines' | 'format'> & { shown: Signal<Aligned>; at: Signal<number | null> }) {
  const i = at.value ?? shown.value[0].length - 1;
  return (
    <ul class="legend">
      {lines.map(({ label, colour }, line) => (
        <li key={label}>
          <span class="swatch" style={{ background: `var(${colour})` }} />
          {label} <b>{format(shown.value[line + 1]?.[i])}</b>
        </li>
      ))}
    </ul>
  );
}

function view({ lines, scale = 1 }: ChartProps): Aligned {
  const [times, ...columns] = series().view(lines.map(({ column }) => column), range.peek());
  if (scale === 1) return [times, ...columns];
  return [times, ...columns.map((column) => column.map((value) => (value === null ? null : value * scale)))];
}

/** Each column added to those before it. */
function stack([times, ...columns]: Aligned): Aligned {
  const sums = columns.map((column) => column.slice());
  for (let line = 1; line < sums.length; line++) {
    const [below, own] = [sums[line - 1] as (number | null)[], sums[line] as (number | null)[]];
    own.forEach((value, i) => (own[i] = value === null && below[i] === null ? null : (value ?? 0) + (below[i] ?? 0)));
  }
  return [times, ...sums];
}
