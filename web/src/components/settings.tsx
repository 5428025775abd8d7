// The settings of the shown conversation. An empty field leaves the matter to the server; a new chat begins with the same.

import { useEffect, useRef } from 'preact/hooks';
import { parameters, PLAIN_TOKENS } from '../api/request.ts';
import { current, update } from '../state/conversations.ts';
import { EXAMPLE_TOOLS, FIELDS, type Field } from '../state/fields.ts';
import { settingsOpen } from '../state/page.ts';
import { about, plain } from '../state/server.ts';
import { IconButton } from './icon-button.tsx';
import { NumberField } from './number-field.tsx';
import { TextField, type FieldProps } from './text-field.tsx';

export function Settings() {
  const { id, settings } = current.value;
  const { problems } = parameters(settings, plain.value);
  const panel = useRef<HTMLElement>(null);
  useEffect(() => focusFirst(panel.current), []);
  const set = (key: string) => (text: string) => update(id, (before) => ({ ...before, settings: { ...before.settings, [key]: text } }));
  const of = (key: string): FieldProps => ({ id: `setting-${key}`, text: settings[key] ?? '', write: set(key), problem: problems[key] });
  return (
    <>
      <aside class="settings" aria-label="Settings" ref={panel}>
        <div class="settings-top">
          <h2>Settings</h2>
          <IconButton icon="close" label="Close the settings" keys="Esc" onClick={closeSettings} />
        </div>
        {!plain.value && <TextField {...of('system')} label="System prompt" rows={3} placeholder="How the model should be, what it should know" />}
        <fieldset>
          <legend>Sampling</legend>
          <p class="hint">Empty fields are left to the server.</p>
          <div class="numbers">
            {FIELDS.map((field) => (
              <NumberField key={field.key} field={field} empty={emptyOf(field)} {...of(field.key)} />
            ))}
          </div>
          <TextField {...of('stop')} label="Stop strings" rows={2} code hint="One a line; \n stands for the end of a line." />
        </fieldset>
        {!plain.value && <TemplateFields of={of} />}
        <button type="button" class="button" disabled={!Object.values(settings).some(Boolean)} onClick={() => update(id, (before) => ({ ...before, settings: {} }))}>
          Back to the defaults
        </button>
      </aside>
      <div class="shade only-narrow" onClick={closeSettings} />
    </>
  );
}

/** What only a chat template has a use for. */
function TemplateFields({ of }: { of: (key: string) => FieldProps }) {
  const tools = of('tools');
  return (
    <>
      <fieldset>
        <legend>Tools</legend>
        <TextField {...tools} label="Tools, as JSON" rows={5} code hint="As in OpenAI’s API. You play the tool: a call is shown with a field for its result.">
          {!tools.text && (
            <button type="button" class="button quiet" onClick={() => tools.write(EXAMPLE_TOOLS)}>
              Insert an example
            </button>
          )}
        </TextField>
      </fieldset>
      <fieldset>
        <legend>Template</legend>
        <TextField {...of('variables')} label="Variables, as JSON" rows={2} code placeholder={'{"enable_thinking": false}'} hint="Passed to the model’s chat template." />
      </fieldset>
    </>
  );
}

/** What is done where a field is empty: as the server says, else in words. */
function emptyOf(field: Field): string {
  if (plain.value && field.key === 'max_tokens') return String(PLAIN_TOKENS);
  const own = about.value.sampling?.[field.key];
  return typeof own === 'number' ? String(Number(own.toPrecision(6))) : field.empty;
}

export function closeSettings() {
  settingsOpen.value = false;
  document.getElementById('composer')?.focus();
}

/** What is wrong, else the first field. */
function focusFirst(panel: HTMLElement | null) {
  (panel?.querySelector<HTMLElement>('[aria-invalid=true]') ?? panel?.querySelector('textarea'))?.focus();
}
