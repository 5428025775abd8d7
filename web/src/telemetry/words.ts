// Numbers and names as people read them.

import type { Stage } from './wire.ts';

const NOTHING = '–';

type Maybe = number | null | undefined;

const known = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value);

/** Milliseconds. */
export function time(ms: Maybe): string {
  if (!known(ms)) return NOTHING;
  if (ms === 0) return '0 ms';
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9_950 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

/** A number of things, three digits of it. */
export function count(value: Maybe): string {
  if (!known(value)) return NOTHING;
  const units: [number, string][] = [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']];
  const letter = units.find(([limit]) => value >= limit);
  const scaled = letter ? value / (letter[1] === 'k' ? 1e3 : letter[0]) : value;
  const digits = Number.isInteger(scaled) || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)}${letter?.[1] ?? ''}`;
}

/** A share, 0 to 1. */
export function percent(share: Maybe): string {
  if (!known(share)) return NOTHING;
  const value = share * 100;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

/** The time of day, with seconds. */
export function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB');
}

/** What a stage of a request is called. */
export const STAGES: Record<Stage, string> = {
  queued: 'Queued',
  prefill: 'Prefill',
  decode: 'Decode',
  preempted: 'Preempted',
  sent: 'Sent',
};
