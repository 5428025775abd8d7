// What the machine's cores do.

import { told } from '../telemetry/store.ts';
import { count, percent } from '../telemetry/words.ts';
import { Nothing, Panel } from './panel.tsx';

const ABOUT =
  'How busy each core was in the last second, with everything that runs on the machine, and how many cores this server kept busy of them. What is busy without the server is taken by other processes.';

export function Cores() {
  const [cores, server] = [told.cores.value, told.server.value];
  const all = cores.reduce((sum, { busy }) => sum + busy, 0);
  return (
    <Panel title="Cores" about={ABOUT}>
      {cores.length === 0 ? (
        <Nothing>This system does not say how busy its cores are.</Nothing>
      ) : (
        <p class="soft">
          <b>{count(all)}</b> of {cores.length} busy, <b>{count(server?.own_cores)}</b> of them with Whinchat
        </p>
      )}
      <ul class="cores">
        {cores.map(({ core, busy }) => (
          <li key={core} class="core" title={`Core ${core}: ${percent(busy)} busy`}>
            <span class="core-busy" style={{ height: `${busy * 100}%` }} />
            <span class="unseen">
              Core {core}: {percent(busy)} busy
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
