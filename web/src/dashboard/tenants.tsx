// Who uses the server most.

import { windowOf } from '../telemetry/engines.ts';
import { comparedOver, told } from '../telemetry/store.ts';
import type { Series, WindowName } from '../telemetry/wire.ts';
import { count, percent, time } from '../telemetry/words.ts';
import { WindowChoice } from './engines.tsx';
import { Nothing, Panel } from './panel.tsx';
import { Table, type ColumnOf } from './table.tsx';

const ABOUT = 'On whose behalf requests were made (user, or the name of a key), by tokens of prompts and answers in the chosen window.';

interface Row {
  name: string;
  requests: number;
  failed: number;
  prompt: number;
  generated: number;
  /** Of all tokens. */
  share: number;
  first: number | null;
}

const COLUMNS: ColumnOf<Row>[] = [
  { title: 'Tenant', cell: ({ name }) => name },
  { title: 'Share of tokens', cell: ({ share }) => <ShareBar share={share} /> },
  { title: 'Requests', cell: ({ requests }) => count(requests) },
  { title: 'Failed', cell: ({ failed }) => count(failed) },
  { title: 'Prompt tokens', cell: ({ prompt }) => count(prompt) },
  { title: 'Generated', cell: ({ generated }) => count(generated) },
  { title: 'First token p90', cell: ({ first }) => time(first) },
];

const MOST = 10;

export function Tenants() {
  const rows = tenants(told.series.value, comparedOver.value).slice(0, MOST);
  return (
    <Panel title="Top tenants" about={ABOUT} class="wide" aside={<WindowChoice />}>
      {rows.length === 0 ? <Nothing>No request of this window says on whose behalf it is.</Nothing> : <Table label="Top tenants" columns={COLUMNS} rows={rows} keyOf={({ name }) => name} />}
    </Panel>
  );
}

/** Tenants over all engines, those with the most tokens first. */
export function tenants(series: readonly Series[], over: WindowName): Row[] {
  const rows = new Map<string, Row>();
  let all = 0;
  for (const { tenant, windows } of series) {
    const window = windowOf(windows, over);
    if (!window) continue;
    const { requests, tokens, first_token } = window;
    if (tenant === null) {
      all += tokens.prompt + tokens.generated;
      continue;
    }
    const row = rows.get(tenant) ?? { name: tenant, requests: 0, failed: 0, prompt: 0, generated: 0, share: 0, first: null };
    row.requests += requests.ended;
    row.failed += requests.failed;
    row.prompt += tokens.prompt;
    row.generated += tokens.generated;
    // Of several engines the slowest.
    row.first = first_token ? Math.max(row.first ?? 0, first_token.p90) : row.first;
    rows.set(tenant, row);
  }
  const busy = [...rows.values()].filter(({ requests }) => requests > 0);
  for (const row of busy) row.share = all > 0 ? (row.prompt + row.generated) / all : 0;
  return busy.sort((a, b) => b.share - a.share);
}

function ShareBar({ share }: { share: number }) {
  return (
    <span class="share">
      <span class="share-bar" style={{ width: `${Math.min(share, 1) * 100}%` }} />
      <span>{percent(share)}</span>
    </span>
  );
}
