// A formula. It is shown as it was written until it is whole and can be drawn, and where its TeX is not understood.

import { useLayoutEffect, useRef } from 'preact/hooks';
import { draw, needDrawing } from '../state/drawing.ts';
import type { Formula } from '../text/formula.ts';

/** A longer one is no formula but a way to keep the browser busy. */
const LONGEST = 10_000;

export function FormulaView({ tex, display, written, closed, after }: Formula) {
  const box = useRef<HTMLSpanElement>(null);
  const drawing = draw.value;
  const drawable = closed && tex.length <= LONGEST;
  useLayoutEffect(() => {
    if (drawable) void needDrawing();
  }, [drawable]);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const drawn = drawable && drawing !== undefined && succeeds(() => drawing(tex, display, element));
    element.classList.toggle('written', !drawn);
    if (!drawn) element.textContent = written;
  }, [tex, display, written, drawable, drawing]);
  // What is wide scrolls, so the keyboard must reach it.
  if (display) return <span class="formula display" ref={box} tabIndex={0} role="group" aria-label="Formula" />;
  return (
    <span class={after && 'unbroken'}>
      <span class="formula" ref={box} />
      {after}
    </span>
  );
}

function succeeds(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
