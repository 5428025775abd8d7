// Which model answers, and whether the server is there.

import { chooseModel, model, models, status } from '../state/server.ts';

const WORDS = {
  asking: 'Connecting…',
  ready: 'Ready',
  loading: 'Loading the model…',
  draining: 'Shutting down',
  unreachable: 'No connection',
};

export function ModelPicker() {
  const words = WORDS[status.value];
  return (
    <div class="model">
      <span class={`dot ${status.value}`} title={words} />
      {models.value.length > 1 ? <Several /> : <span class="model-name">{model.value ?? words}</span>}
      <span class="unseen" role="status">
        {words}
      </span>
    </div>
  );
}

function Several() {
  return (
    <select class="model-name" aria-label="Model" value={model.value} onChange={(event) => chooseModel(event.currentTarget.value)}>
      {models.value.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}
