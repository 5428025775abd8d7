// A block of code, with its language and a button that copies it.

import { highlight } from '../text/highlight.ts';
import { CopyButton } from './copy-button.tsx';

export function CodeBlock({ code, language }: { code: string; language: string }) {
  return (
    <figure class="code">
      <figcaption>
        <span>{language || 'text'}</span>
        <CopyButton text={() => code} label="Copy code" />
      </figcaption>
      <pre tabIndex={0}>
        <code>{highlight(code, language).map(({ kind, text }) => (kind ? <span class={`code-${kind}`}>{text}</span> : text))}</code>
      </pre>
    </figure>
  );
}
