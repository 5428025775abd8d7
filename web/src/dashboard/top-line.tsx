// The top line: whether it is live, which engine is drawn, and how much of the past.

import { Bird, type IconName } from '../components/icons.tsx';
import { IconButton } from '../components/icon-button.tsx';
import { nextTheme, theme } from '../state/page.ts';
import { choose, chosen, engines, link, range, show, told } from '../telemetry/store.ts';
import { idOf, nameOf } from '../telemetry/engines.ts';
import { time } from '../telemetry/words.ts';
import { Choice } from './choice.tsx';

const RANGES: [number, string][] = [[300, '5 min'], [3600, '1 h'], [6 * 3600, '6 h'], [24 * 3600, '24 h']];

const LINKS = { connecting: 'Connecting…', live: 'Live', lost: 'The server cannot be reached. Trying again…', refused: 'Not allowed' } as const;

export function TopLine() {
  const icon: IconName = theme.value === 'light' ? 'sun' : theme.value === 'dark' ? 'moon' : 'system';
  const server = told.server.value;
  return (
    <header class="top-line">
      <a class="home" href="." aria-label="Whinchat: to the chat page">
        <Bird />
        <b>Whinchat</b>
      </a>
      <p class="link" role="status">
        <span class={`dot ${link.value === 'live' ? 'ready' : link.value === 'connecting' ? 'loading' : 'unreachable'}`} />
        {LINKS[link.value]}
      </p>
      {server && (
        <p class="uptime">
          {server.version}, up {time(server.uptime_s * 1000)}
        </p>
      )}
      <span class="spring" />
      <EnginePicker />
      <Choice label="Range" options={RANGES} value={range.value} onChoose={show} />
      <IconButton icon={icon} label={`Theme: ${theme.value || 'as the system'}`} onClick={nextTheme} />
    </header>
  );
}

function EnginePicker() {
  const all = engines.value;
  if (all.length < 2) return null;
  return (
    <select class="picker" aria-label="Engine" value={chosen.value} onChange={(e) => choose(e.currentTarget.value)}>
      <option value="">All engines</option>
      {all.map((engine) => (
        <option key={idOf(engine)} value={idOf(engine)}>
          {nameOf(engine, all)}
        </option>
      ))}
    </select>
  );
}
