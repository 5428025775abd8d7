// What differs from the server's own ways, told where one writes: settings that are forgotten surprise.

import { parameters } from '../api/request.ts';
import { current } from '../state/conversations.ts';
import { settingsOpen } from '../state/page.ts';
import { plain } from '../state/server.ts';
import { plural } from '../text/format.ts';

export function Chips() {
  const said = chips();
  if (said.length === 0) return null;
  return (
    <span class="chips">
      <button type="button" class="chip" title="Open the settings" onClick={() => (settingsOpen.value = true)}>
        {said.join(' · ')}
      </button>
    </span>
  );
}

function chips(): string[] {
  const { settings } = current.value;
  const { body, problems } = parameters(settings, plain.value);
  const { tools, stop: _, chat_template_kwargs: __, ...numbers } = body;
  const others = Object.keys(body).length - Object.keys(numbers).length - (tools ? 1 : 0);
  const said = Object.entries(numbers).map(([name, value]) => `${name.replaceAll('_', ' ')} ${value}`);
  if (said.length > 2 || others > 0) said.splice(0, said.length, plural(said.length + others, 'setting'));
  if (tools) said.push(plural((tools as object[]).length, 'tool'));
  if (Object.keys(problems).length > 0) said.push('something is not right');
  return said;
}
