// What went wrong, in words, and a way to try again.

import type { Problem } from '../state/types.ts';
import { Icon } from './icons.tsx';

export function ProblemCard({ problem, retry }: { problem: Problem; retry?: () => void }) {
  return (
    <div class="problem" role="group" aria-label="Problem">
      <Icon name="alert" />
      <div>
        <strong>{problem.title}</strong>
        <p>{problem.message}</p>
      </div>
      {retry && (
        <button type="button" class="button" onClick={retry}>
          <Icon name="retry" /> Retry
        </button>
      )}
    </div>
  );
}
