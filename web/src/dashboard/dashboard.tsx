// The page: how it goes now, what is unusual, everything over time, and who is asked by whom.

import { useEffect } from 'preact/hooks';
import { link, told } from '../telemetry/store.ts';
import { Algorithms } from './algorithms.tsx';
import { Anomalies } from './anomalies.tsx';
import { Charts } from './charts.tsx';
import { Cores } from './cores.tsx';
import { Engines } from './engines.tsx';
import { Faults } from './faults.tsx';
import { Foreseen } from './foreseen.tsx';
import { KeyForm } from './key-form.tsx';
import { Memory } from './memory.tsx';
import { Recommendations } from './recommendations.tsx';
import { Releases } from './releases.tsx';
import { Slowest } from './slowest.tsx';
import { Tenants } from './tenants.tsx';
import { Tiles } from './tiles.tsx';
import { TopLine } from './top-line.tsx';

export function Dashboard() {
  const unusual = told.anomalies.value.filter(({ until_ms }) => until_ms === null).length;
  useEffect(() => {
    document.title = `${unusual > 0 ? `(${unusual}) ` : ''}Dashboard – Whinchat`;
  }, [unusual]);
  return (
    <div class="dashboard">
      <TopLine />
      <main class="panels">
        <h1 class="unseen">Dashboard</h1>
        {link.value === 'refused' ? <KeyForm /> : <Panels />}
      </main>
    </div>
  );
}

function Panels() {
  return (
    <>
      <Tiles />
      <Faults />
      <Anomalies />
      <Releases />
      <Charts />
      <Cores />
      <Memory />
      <Engines />
      <Slowest />
      <Foreseen />
      <Tenants />
      <Recommendations />
      <Algorithms />
    </>
  );
}
