// How it goes at this moment, in a few large numbers.

import { now } from '../telemetry/store.ts';
import { POINT_S, type Values } from '../telemetry/wire.ts';
import { count, percent, time } from '../telemetry/words.ts';

const rate = (value: number | null | undefined) => (typeof value === 'number' ? value / POINT_S : value);

const TILES: [string, (values: Values) => string, string][] = [
  ['Requests', ({ ended }) => count(rate(ended)), 'per second'],
  ['Generated', ({ generated_tokens }) => count(rate(generated_tokens)), 'tokens per second'],
  ['Prompts', ({ prompt_tokens }) => count(rate(prompt_tokens)), 'tokens per second'],
  ['Running', ({ running }) => count(running), 'sequences'],
  ['Waiting', ({ waiting }) => count(waiting), 'sequences'],
  ['First token', ({ first_token_p50 }) => time(first_token_p50), 'median of 10 s'],
  ['Between tokens', ({ between_p50 }) => time(between_p50), 'median of 10 s'],
  ['KV memory', ({ kv_used }) => percent(kv_used), 'in use'],
];

export function Tiles() {
  const values = now.value;
  return (
    <dl class="tiles" aria-label="Now">
      {TILES.map(([name, number, unit]) => (
        <div key={name} class="tile">
          <dt>{name}</dt>
          <dd>
            <b>{number(values)}</b> <span>{unit}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}
