// Draws formulas: TeX into MathML. It is a file of its own, which the page asks for when an answer has a formula.

import temml from 'temml/temml.js';

/** Sizes in a formula are at most so many em: it must not cover the page. */
const LARGEST = 10;

/** Draws a formula into an element. Throws where the TeX is not understood. */
export function draw(tex: string, display: boolean, into: HTMLElement) {
  temml.render(tex, into, {
    displayMode: display,
    throwOnError: true,
    wrap: 'tex',
    maxSize: [LARGEST, LARGEST],
  });
}
