// Formulas in Markdown: where their TeX begins and ends.

export interface Formula {
  kind: 'formula';
  tex: string;
  /** Whether it stands on lines of its own. */
  display: boolean;
  /** As it was written, with its marks. */
  written: string;
  /** Without an end it is shown as it was written. */
  closed: boolean;
  /** What must not begin a line behind it. */
  after?: string;
}

/** What opens a formula, what closes it, and whether it is displayed. */
const MARKS: [string, string, boolean][] = [
  ['\\(', '\\)', false],
  ['\\[', '\\]', true],
  ['$$', '$$', true],
  ['$', '$', false],
];

/** The formula at the front of a text. `before` is what stands before it: not every dollar opens one. */
export function formula(text: string, before = ''): Formula | undefined {
  const [open, close, display] = MARKS.find(([mark]) => text.startsWith(mark)) ?? environment(text) ?? [];
  if (open === undefined || close === undefined || display === undefined) return undefined;
  const end = closing(text, close, open.length);
  const inside = end < 0 ? text.slice(open.length) : text.slice(open.length, end);
  const written = end < 0 ? text : text.slice(0, end + close.length);
  if (!inside.trim() || (open === '$' && !isFormula(inside, before, text.slice(written.length), end))) return undefined;
  // An environment is TeX itself, and blank lines are not.
  const tex = (open.startsWith('\\begin') ? written : inside).replace(/\n\s*\n/g, '\n').trim();
  return { kind: 'formula', tex, display, written, closed: end >= 0 };
}

function environment(text: string): [string, string, boolean] | undefined {
  const [open, name] = /^\\begin\{((?:equation|align|gather|multline|alignat|CD)\*?)\}/.exec(text) ?? [];
  return open === undefined ? undefined : [open, `\\end{${name}}`, true];
}

/** Where `close` stands from `from` on, unless it is escaped; -1 if nowhere. */
function closing(text: string, close: string, from: number): number {
  for (let at = from; at < text.length; at += text[at] === '\\' ? 2 : 1) {
    if (text.startsWith(close, at)) return at;
  }
  return -1;
}

/** Prices are no formulas: within single dollars there is no space beside them, no end of a line, and no word goes on. */
function isFormula(inside: string, before: string, after: string, end: number): boolean {
  return end >= 0 && /^[^\s`][^\n`]*$/.test(inside) && !/\s$/.test(inside) && !/[\p{L}\p{N}$]$/u.test(before) && !/^[\p{L}\p{N}$]/u.test(after);
}
