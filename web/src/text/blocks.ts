// Markdown's blocks: lines into paragraphs, lists, code, tables, quotes, formulas. Their text is left for inline.ts.

import { formula, type Formula } from './formula.ts';

export type Align = 'left' | 'center' | 'right' | undefined;

export type Block = { source: string } & (
  | { kind: 'paragraph'; text: string }
  | { kind: 'heading'; level: number; text: string }
  | { kind: 'code'; language: string; text: string }
  | { kind: 'quote'; children: Block[] }
  | { kind: 'list'; start: number | undefined; loose: boolean; items: Item[] }
  | { kind: 'table'; align: Align[]; rows: string[][] }
  | { kind: 'rule' }
  | Formula
);

export interface Item {
  checked: boolean | undefined;
  children: Block[];
}

type Bare<B = Block> = B extends unknown ? Omit<B, 'source'> : never;

/** What a block is, and the line after it. */
type Found = [Bare, number];

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:( +)(.*)|)$/;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** Nested deeper than this, lists and quotes are text: a hostile answer must not exhaust the stack. */
const DEEPEST = 12;

/** The blocks of a text. Never fails: what is nothing else is a paragraph. */
export function blocks(source: string): Block[] {
  return parse(source.replace(/\r\n?/g, '\n').replace(/\t/g, '    ').split('\n'), 0);
}

function parse(lines: string[], depth: number): Block[] {
  const found: Block[] = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at]?.trim()) {
      at += 1;
      continue;
    }
    const [block, next] = fence(lines, at) ?? displayed(lines, at) ?? oneLine(lines, at) ?? nested(lines, at, depth) ?? table(lines, at) ?? paragraph(lines, at);
    found.push({ ...block, source: lines.slice(at, next).join('\n') } as Block);
    at = next;
  }
  return found;
}

function fence(lines: string[], at: number): Found | undefined {
  const opening = FENCE.exec(lines[at] ?? '');
  if (!opening) return undefined;
  const [, mark = '', info = ''] = opening;
  const indent = (lines[at] ?? '').search(/\S/);
  const closing = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end] ?? '')) end += 1;
  const inside = lines.slice(at + 1, end).map((line) => unindented(line, indent));
  return [{ kind: 'code', language: info.trim().split(/\s/)[0] ?? '', text: inside.join('\n') }, Math.min(end + 1, lines.length)];
}

/** A formula on lines of its own, perhaps with what ends a sentence behind it. Without an end it is the rest of the paragraph. */
function displayed(lines: string[], at: number): Found | undefined {
  if (!/^ *(\$\$|\\\[|\\begin\{)/.test(lines[at] ?? '')) return undefined;
  const text = lines.slice(at).join('\n').trimStart();
  const paragraph = text.split(/\n *\n/, 1)[0] ?? '';
  const dollars = text.startsWith('$$');
  const within = dollars || !formula(text)?.closed ? paragraph : text;
  const found = formula(within);
  const after = found && /^ *([.,;:]?) *(?:\n|$)/.exec(within.slice(found.written.length));
  // Dollars without an end may be the end of a formula within the paragraph.
  if (!found || !after || (dollars && !found.closed)) return undefined;
  const sentenceEnd = found.tex.startsWith('\\begin') ? '' : after[1];
  return [{ ...found, tex: found.tex + sentenceEnd }, at + found.written.split('\n').length];
}

function oneLine(lines: string[], at: number): Found | undefined {
  const line = lines[at] ?? '';
  const heading = HEADING.exec(line);
  if (heading) return [{ kind: 'heading', level: heading[1]?.length ?? 1, text: heading[2] ?? '' }, at + 1];
  return RULE.test(line) ? [{ kind: 'rule' }, at + 1] : undefined;
}

function nested(lines: string[], at: number, depth: number): Found | undefined {
  if (depth >= DEEPEST) return undefined;
  return quote(lines, at, depth) ?? list(lines, at, depth);
}

function quote(lines: string[], at: number, depth: number): Found | undefined {
  if (!QUOTE.test(lines[at] ?? '')) return undefined;
  let end = at;
  while (end < lines.length && (QUOTE.test(lines[end] ?? '') || continues(lines, end))) end += 1;
  const inside = lines.slice(at, end).map((line) => line.replace(QUOTE, ''));
  return [{ kind: 'quote', children: parse(inside, depth + 1) }, end];
}

/** Whether a line goes on with the paragraph of the line before it, though it lacks that line's mark. */
function continues(lines: string[], at: number): boolean {
  const before = lines[at - 1] ?? '';
  return Boolean(before.trim()) && Boolean(before.replace(QUOTE, '').trim()) && !begins(lines, at);
}

/** Whether a line begins something that ends a paragraph. */
function begins(lines: string[], at: number): boolean {
  const line = lines[at] ?? '';
  if (!line.trim() || FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || displayed(lines, at)) return true;
  const item = ITEM.exec(line);
  // A number other than 1 may just begin a line of prose.
  return Boolean(item?.[4]?.trim() && (!/^\d/.test(item[2] ?? '') || parseInt(item[2] ?? '', 10) === 1));
}

function list(lines: string[], at: number, depth: number): Found | undefined {
  const first = ITEM.exec(lines[at] ?? '');
  if (!first) return undefined;
  const sort = (mark = '') => (/^\d/.test(mark) ? mark.slice(-1) : mark);
  const base = first[1]?.length ?? 0;
  const items: Item[] = [];
  let loose = false;
  let next = at;
  for (let item = first; item && sort(item[2]) === sort(first[2]) && (item[1]?.length ?? 0) < base + 2; ) {
    const [inside, end] = itemLines(lines, next, item);
    items.push(itemOf(inside, depth));
    next = end;
    const following = skipBlank(lines, next);
    const another = ITEM.exec(lines[following] ?? '');
    loose ||= inside.some((line, i) => !line.trim() && inside.slice(i + 1).some((later) => later.trim()));
    if (!another || (another[1]?.length ?? 0) < base || RULE.test(lines[following] ?? '')) break;
    if (sort(another[2]) === sort(first[2])) {
      loose ||= following > next;
      next = following;
    }
    item = another;
  }
  const start = /^\d/.test(first[2] ?? '') ? parseInt(first[2] ?? '', 10) : undefined;
  return [{ kind: 'list', start, loose, items }, next];
}

/** The lines of an item without its mark and indent. Models indent by two where the standard wants three: both will do. */
function itemLines(lines: string[], at: number, item: RegExpExecArray): [string[], number] {
  const [, indent = '', mark = '', space = '', text = ''] = item;
  const within = indent.length + mark.length + (space.length > 4 ? 1 : space.length || 1);
  const enough = Math.min(within, indent.length + 2);
  const inside = [space.length > 4 ? space.slice(1) + text : text];
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const line = lines[end] ?? '';
    const belongs = line.trim() ? line.search(/\S/) >= enough : (lines[skipBlank(lines, end)] ?? '').search(/\S/) >= enough;
    if (!belongs && !(line.trim() && lines[end - 1]?.trim() && !begins(lines, end) && !ITEM.test(line))) break;
    inside.push(unindented(line, within));
  }
  return [inside, end];
}

function itemOf(inside: string[], depth: number): Item {
  const box = /^\[([ xX])\] +/.exec(inside[0] ?? '');
  if (box) inside = [(inside[0] ?? '').slice(box[0].length), ...inside.slice(1)];
  return { checked: box ? box[1] !== ' ' : undefined, children: parse(inside, depth + 1) };
}

function table(lines: string[], at: number): Found | undefined {
  const head = lines[at] ?? '';
  const under = lines[at + 1] ?? '';
  if (!head.includes('|') || !DELIMITERS.test(under) || cells(head).length !== cells(under).length) return undefined;
  const align = cells(under).map((cell): Align => {
    if (cell.endsWith(':')) return cell.startsWith(':') ? 'center' : 'right';
    return cell.startsWith(':') ? 'left' : undefined;
  });
  let end = at + 2;
  while (end < lines.length && lines[end]?.includes('|')) end += 1;
  const rows = [head, ...lines.slice(at + 2, end)].map((line) => align.map((_, i) => cells(line)[i] ?? ''));
  return [{ kind: 'table', align, rows }, end];
}

function cells(line: string): string[] {
  const inner = line.trim().replace(/^\|/, '').replace(/(?<!\\)\|$/, '');
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, '|'));
}

function paragraph(lines: string[], at: number): Found {
  let end = at + 1;
  while (end < lines.length && !begins(lines, end) && !table(lines, end)) end += 1;
  const text = lines.slice(at, end).map((line) => line.trimStart()).join('\n').trimEnd();
  return [{ kind: 'paragraph', text }, end];
}

function skipBlank(lines: string[], at: number): number {
  while (at < lines.length && !lines[at]?.trim()) at += 1;
  return at;
}

function unindented(line: string, by: number): string {
  const has = line.search(/\S|$/);
  return line.slice(Math.min(has, by));
}
