// The server refuses: it wants a key, or to be asked on its own machine.

import { useState } from 'preact/hooks';
import { refusal, unlock } from '../telemetry/store.ts';

export function KeyForm() {
  const [key, type] = useState('');
  const send = (event: Event) => {
    event.preventDefault();
    if (key) unlock(key);
  };
  return (
    <form class="panel key-form" onSubmit={send}>
      <h2>The server does not show this to everyone</h2>
      <p>{refusal.value}</p>
      <label for="key">A key with the role metrics or admin</label>
      <div class="row">
        <input id="key" type="password" autocomplete="off" value={key} onInput={(e) => type(e.currentTarget.value)} />
        <button type="submit" class="button primary" disabled={!key}>
          Show the dashboard
        </button>
      </div>
      <p class="hint">It is kept until this tab is closed.</p>
    </form>
  );
}
