// Where keys and values are: the KV cache of each engine, and what went to the second tier.

import { idOf, nameOf } from '../telemetry/engines.ts';
import { engines, told } from '../telemetry/store.ts';
import type { Engine } from '../telemetry/wire.ts';
import { count, percent } from '../telemetry/words.ts';
import { Nothing, Panel } from './panel.tsx';

const ABOUT =
  'Blocks of each KV cache: used by sequences that run, kept for prompts that begin alike, and free. Below, the second tier: blocks that went there when memory was needed, and those that came back because that was faster than computing them.';

export function Memory() {
  return (
    <Panel title="KV memory by tier" about={ABOUT} class="wide">
      {told.engines.value.length === 0 && <Nothing>No model is loaded yet.</Nothing>}
      <ul class="tiers" tabindex={0} aria-label="KV caches">
        {told.engines.value.map((engine) => (
          <Tiers key={idOf(engine)} engine={engine} />
        ))}
      </ul>
    </Panel>
  );
}

function Tiers({ engine }: { engine: Engine }) {
  const { blocks, used, kept, spilled, restored } = engine.now.kv;
  const width = (part: number) => ({ width: `${(part / Math.max(blocks, 1)) * 100}%` });
  const name = nameOf(engine, engines.value);
  return (
    <li>
      <p>
        <b>{name}</b>{' '}
        <span class="soft">
          {count(used)} used, {count(kept)} kept of {count(blocks)} blocks ({percent(blocks > 0 ? used / blocks : null)})
        </span>
      </p>
      <div class="meter" role="img" aria-label={`KV cache of ${name}: ${count(used)} blocks used, ${count(kept)} kept, of ${count(blocks)}`}>
        <span class="meter-used" style={width(used)} />
        <span class="meter-kept" style={width(kept)} />
      </div>
      {spilled + restored > 0 && (
        <p class="soft">
          Second tier: {count(spilled)} blocks went there, {count(restored)} came back
        </p>
      )}
    </li>
  );
}
