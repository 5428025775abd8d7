// What would make it faster.

import { nameOf } from '../telemetry/engines.ts';
import { engines, told } from '../telemetry/store.ts';
import { percent } from '../telemetry/words.ts';
import { words } from './anomalies.tsx';
import { Nothing, Panel } from './panel.tsx';

const ABOUT = 'Settings that should make it faster, with the reason, what to expect of them, and the command that measures before and after.';

export function Recommendations() {
  const all = told.recommendations.value;
  return (
    <Panel title="Recommendations" about={ABOUT} class="wide">
      {all.length === 0 && <Nothing>Nothing to change.</Nothing>}
      <ul class="advice">
        {all.map((one) => (
          <li key={`${nameOf(one, engines.value)} ${one.setting}`}>
            <h3>
              <code>
                {one.setting} {one.value}
              </code>{' '}
              <span class="tag">{nameOf(one, engines.value)}</span>{' '}
              <span class="tag">
                {words(one.gain.of)}: {percent(one.gain.share)}
              </span>
            </h3>
            <p>{one.reason}</p>
            <pre tabindex={0}>{one.command}</pre>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
