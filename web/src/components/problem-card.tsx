// What went wrong, in words, and what can be done.

import type { Problem } from '../state/types.ts';
import { Icon, type IconName } from './icons.tsx';

/** What can be done. */
export interface Remedy {
  icon: IconName;
  label: string;
  act: () => void;
}

export function ProblemCard({ problem, remedy }: { problem: Problem; remedy: Remedy | undefined }) {
  return (
    <div class="problem" role="group" aria-label="Problem">
      <Icon name="alert" />
      <div>
        <strong>{problem.title}</strong>
        <p>{problem.message}</p>
      </div>
      {remedy && (
        <button type="button" class="button" onClick={remedy.act}>
          <Icon name={remedy.icon} /> {remedy.label}
        </button>
      )}
    </div>
  );
}
