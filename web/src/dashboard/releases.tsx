// Releases: which stage each is in, what speaks against the candidate, and the verdict.

import { Icon } from '../components/icons.tsx';
import { told } from '../telemetry/store.ts';
import type { Release } from '../telemetry/wire.ts';
import { clock, count, percent, time } from '../telemetry/words.ts';
import { Evidence } from './evidence.tsx';
import { Nothing, Panel } from './panel.tsx';

const ABOUT =
  'A candidate that takes the place of the stable variant in stages. Evidence of harm begins at 1 and rises when the candidate does worse; at the line it is rolled back. What it waits for has to be shown before the next stage. It is shown for an hour after it has ended.';

export function Releases() {
  const all = told.releases.value;
  return (
    <Panel title="Releases" about={ABOUT} class="wide">
      {all.length === 0 && <Nothing>No release in the last hour.</Nothing>}
      <ul class="releases">
        {all.map((release) => (
          <Row key={release.id} {...release} />
        ))}
      </ul>
    </Panel>
  );
}

function Row(release: Release) {
  const { id, name, route, stable, candidate, verdict, sentence, ended, durable, evidence_over_time: points } = release;
  return (
    <li aria-label={`Release of ${route}`} class={verdict === null ? '' : verdict === 'promoted' ? 'kept' : 'undone'}>
      <h3>
        {verdict !== null && <Icon name={verdict === 'promoted' ? 'check' : 'alert'} />}
        {route}: {candidate} beside {stable} <span class="tag" aria-live="polite">{words(release)}</span> {name && <span class="tag">{name}</span>}
      </h3>
      <p>{verdict === null ? sentence : `${capital(verdict)}: ${release.why ?? sentence}`}</p>
      <Stages {...release} />
      {points.length > 1 && <Evidence points={points} endsAt={release.evidence.ends_at} />}
      {verdict === null && <Waits {...release} />}
      {release.shadow && <p class="soft">Shadow: {release.shadow.sentence}</p>}
      <p class="soft">
        <code>{id}</code> · {requests('stable', release.requests.stable)} · {requests('candidate', release.requests.candidate)}
        {ended !== null && ` · ended at ${clock(ended * 1000)}`}
        {!durable && ' · kept in memory alone'}
      </p>
    </li>
  );
}

/** The shares one after another, and where it is. */
function Stages({ plan, stage, state, verdict, stage_s, units, share }: Release) {
  const shadow = plan.shadow ? [{ label: 'shadow', now: state === 'shadow', done: state !== 'shadow' && state !== 'loading' }] : [];
  const going = verdict === null && (state === 'running' || state === 'paused');
  const stages = plan.stages.map((one, i) => ({ label: percent(one.share), now: going && i === stage, done: verdict === 'promoted' || (i < stage && state !== 'shadow' && state !== 'loading') }));
  const due = plan.stages[stage];
  return (
    <div class="stages">
      <ol aria-label="Stages">
        {[...shadow, ...stages].map(({ label, now, done }, i) => (
          <li key={i} class={done ? 'done' : now ? 'now' : ''} aria-current={now ? 'step' : undefined}>
            {label}
            {done && <span class="unseen"> passed</span>}
          </li>
        ))}
      </ol>
      {going && due && (
        <p class="soft">
          {percent(share)} for <b>{time(stage_s * 1000)}</b> of at least {time(due.min_time_s * 1000)}; <b>{count(units.candidate)}</b> and <b>{count(units.stable)}</b> of at least {count(due.min_samples)} units
        </p>
      )}
    </div>
  );
}

function Waits({ waits_for }: Release) {
  if (waits_for.length === 0) return null;
  return (
    <div class="soft">
      Waits for
      <ul class="waits">
        {waits_for.map((what) => (
          <li key={what}>{what}</li>
        ))}
      </ul>
    </div>
  );
}

function requests(who: string, { ended, failed, fallbacks = 0 }: { ended: number; failed: number; fallbacks?: number }): string {
  const instead = fallbacks > 0 ? `, ${count(fallbacks)} answered by stable instead` : '';
  return `${who}: ${count(ended)} requests, ${count(failed)} failed${instead}`;
}

function words({ state, verdict }: Release): string {
  return (verdict ?? state).replaceAll('_', ' ');
}

function capital(text: string): string {
  const plain = text.replaceAll('_', ' ');
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}
