// A setting that is a number.

import type { Field } from '../state/fields.ts';
import { Problem, type FieldProps } from './text-field.tsx';

/** `empty` says what is done where nothing is written. */
export function NumberField({ field, empty, id, text, write, problem }: FieldProps & { field: Field; empty: string }) {
  const step = (event: KeyboardEvent) => {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!by || field.step === 'any' || (!text && field.key === 'seed')) return;
    event.preventDefault();
    const written = Number(text || empty);
    const start = Number.isNaN(written) ? (field.max ?? 1) : written;
    const value = Math.min(Math.max(start + by * field.step, field.min ?? -Infinity), field.max ?? Infinity);
    write(String(Number(value.toFixed(4))));
  };
  return (
    <div class="field number">
      <label for={id}>{field.label}</label>
      <input
        id={id}
        type="text"
        inputMode={field.whole ? 'numeric' : 'decimal'}
        autoComplete="off"
        placeholder={empty}
        title={field.hint}
        value={text}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-hint`}
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={step}
      />
      <p id={`${id}-hint`} class={problem ? undefined : 'unseen'}>
        {problem ? <Problem text={problem} /> : field.hint}
      </p>
    </div>
  );
}
