// A setting that is text.

import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { fit } from './fit.ts';

export interface FieldProps {
  id: string;
  text: string;
  write: (text: string) => void;
  problem: string | undefined;
}

interface Props extends FieldProps {
  label: string;
  rows: number;
  code?: boolean;
  placeholder?: string;
  hint?: string;
  children?: ComponentChildren;
}

export function TextField({ id, text, write, problem, label, rows, code, placeholder, hint, children }: Props) {
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => fit(field.current), [text]);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        ref={field}
        rows={rows}
        class={code ? 'code-field' : undefined}
        spellcheck={!code}
        placeholder={placeholder}
        value={text}
        aria-invalid={problem !== undefined}
        aria-describedby={hint || problem ? `${id}-hint` : undefined}
        onInput={(event) => write(event.currentTarget.value)}
      />
      {(hint || problem) && (
        <p id={`${id}-hint`} class="hint">
          {problem ? <Problem text={problem} /> : hint}
        </p>
      )}
      {children}
    </div>
  );
}

export function Problem({ text }: { text: string }) {
  return <span class="wrong">{text}</span>;
}
