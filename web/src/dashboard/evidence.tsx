// Evidence of harm over time, on a scale of logarithms, and the line at which a release is rolled back.

import { time } from '../telemetry/words.ts';

interface Props {
  /** Seconds since the release began, and the evidence then. */
  points: [number, number][];
  endsAt: number;
}

export function Evidence({ points, endsAt }: Props) {
  const values = points.map(([, evidence]) => evidence);
  const [low, high] = [Math.min(0.5, ...values.filter((value) => value > 0)), Math.max(endsAt * 1.5, ...values)];
  const [first, last] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 1];
  const x = (at: number) => ((at - first) / Math.max(last - first, 1e-9)) * 100;
  const y = (evidence: number) => (1 - (Math.log(Math.max(evidence, low)) - Math.log(low)) / (Math.log(high) - Math.log(low))) * 100;
  const path = points.map(([at, evidence]) => `${x(at).toFixed(2)},${y(evidence).toFixed(2)}`).join(' ');
  const now = values.at(-1) ?? 1;
  return (
    <figure class="evidence">
      <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={`Evidence of harm is ${now.toFixed(2)}, at ${endsAt.toFixed(0)} it is rolled back`}>
        <line class="limit" x1="0" x2="100" y1={y(endsAt)} y2={y(endsAt)} />
        <line class="even" x1="0" x2="100" y1={y(1)} y2={y(1)} />
        <polyline points={path} />
      </svg>
      <span class="mark" style={{ top: `${y(endsAt)}%` }}>
        {endsAt.toFixed(0)}: rolled back
      </span>
      <figcaption class="soft">
        Evidence of harm <b>{now.toFixed(2)}</b>, {time((last - first) * 1000)}
      </figcaption>
    </figure>
  );
}
