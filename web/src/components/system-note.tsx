// Says at the top of a conversation that it has a system prompt.

import { settingsOpen } from '../state/page.ts';
import { plain } from '../state/server.ts';

export function SystemNote({ text }: { text: string | undefined }) {
  if (!text?.trim() || plain.value) return null;
  return (
    <button type="button" class="system-note" title="Change it in the settings" onClick={() => (settingsOpen.value = true)}>
      <b>System prompt</b> <span>{text.trim()}</span>
    </button>
  );
}
