// A part of the page with a title, and what it means for who asks.

import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { Icon } from '../components/icons.tsx';

interface Props {
  title: string;
  /** What it means, in a sentence or two. */
  about: string;
  class?: string;
  /** Stands at the right of the title. */
  aside?: ComponentChildren;
  children: ComponentChildren;
}

export function Panel({ title, about, class: more = '', aside, children }: Props) {
  const id = useId();
  return (
    <section class={`panel ${more}`} aria-labelledby={id}>
      <header class="panel-top">
        <h2 id={id}>{title}</h2>
        <details class="about">
          <summary aria-label={`What ${title} means`} title="What it means">
            <Icon name="help" />
          </summary>
          <p>{about}</p>
        </details>
        <span class="spring" />
        {aside}
      </header>
      {children}
    </section>
  );
}

/** What stands where there is nothing to show. */
export function Nothing({ children }: { children: ComponentChildren }) {
  return <p class="nothing">{children}</p>;
}
