// How charts are drawn: what uPlot is told.

import uPlot from 'uplot';
import { range } from '../telemetry/store.ts';
import { colour, wash } from './colours.ts';

export interface Style {
  /** The colour of each line: a variable of the style. */
  colours: string[];
  format: (value: number) => string;
  stacked: boolean;
  /** The axis reaches this at least. */
  most: number;
  onPoint: (i: number | null) => void;
}

const HEIGHT = 168;

/** Charts show the same moment where the pointer is. */
const TOGETHER = 'dashboard';

export function plot(host: HTMLElement, style: Style): uPlot {
  const none = style.colours.map(() => []);
  return new uPlot(options(style, host.clientWidth), [[], ...none], host);
}

export function resize(drawn: uPlot, host: HTMLElement) {
  if (host.clientWidth !== drawn.width) drawn.setSize({ width: host.clientWidth, height: HEIGHT });
}

function options({ colours, format, stacked, most, onPoint }: Style, width: number): uPlot.Options {
  const bands = colours.slice(1).map((name, i): uPlot.Band => ({ series: [i + 2, i + 1], fill: () => wash(name, 0.35) }));
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 16, 0, 0],
    cursor: { sync: { key: TOGETHER }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(max ?? 0, most) * 1.06] } },
    axes: [timeAxis(), valueAxis(format)],
    series: [{}, ...colours.map((name, i) => line(name, stacked && i === 0))],
    ...(stacked && { bands }),
    hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? null)] },
  };
}

function line(name: string, filled: boolean): uPlot.Series {
  return {
    stroke: () => colour(name),
    width: 1.5,
    points: { show: false },
    ...(filled && { fill: () => wash(name, 0.35) }),
  };
}

function timeAxis(): uPlot.Axis {
  return { ...common(), size: 26, space: 70, values: (_, splits) => splits.map(clock) };
}

function valueAxis(format: (value: number) => string): uPlot.Axis {
  return { ...common(), size: 62, space: 32, values: (_, splits) => splits.map(format) };
}

function common(): uPlot.Axis {
  const grid = { stroke: () => wash('--line', 0.7), width: 1 };
  return { stroke: () => colour('--ink-soft'), font: '11px Inter, system-ui, sans-serif', grid, ticks: { show: false } };
}

function clock(at: number): string {
  const time = new Date(at * 1000).toLocaleTimeString('en-GB');
  return range.value > 600 ? time.slice(0, 5) : time;
}
