// Markdown within a line: emphasis, code, links, formulas. Gives data, never HTML: an answer cannot bring markup of its own.

import { formula, type Formula } from './formula.ts';

export type Inline =
  | string
  | { kind: 'strong' | 'em' | 'del'; children: Inline[] }
  | { kind: 'code'; text: string }
  | { kind: 'link'; href: string; children: Inline[] }
  | { kind: 'break' }
  | Formula;

/** A run of marks that may open or close emphasis. */
interface Run {
  kind: 'run';
  mark: string;
  count: number;
  opens: boolean;
  closes: boolean;
}

type Node = Inline | Run;

/** Takes a node from the front of a text; gives it and the length it had. */
type Rule = (text: string, before: string, streaming: boolean, depth: number) => [Node | Node[], number] | undefined;

const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", '#39': "'", nbsp: '\u00a0' };

/** The nodes of a text. With `streaming`, what is opened at the end counts as closed: the rest is still to come. */
export function inline(text: string, streaming = false): Inline[] {
  return parse(text, streaming, 0);
}

function parse(text: string, streaming: boolean, depth: number): Inline[] {
  const nodes: Node[] = [];
  let plain = '';
  for (let at = 0; at < text.length; ) {
    const rule = RULES[text[at] ?? ''];
    const found = rule?.(text.slice(at), text.slice(0, at), streaming, depth);
    if (found) {
      if (plain) nodes.push(plain);
      plain = '';
      nodes.push(...[found[0]].flat());
      at += found[1];
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain) nodes.push(plain);
  return emphasised(nodes, streaming);
}

const RULES: Record<string, Rule> = {
  '\\': (text, before, streaming) => {
    if (text[1] === '\n') return [{ kind: 'break' }, 2];
    const found = tex(text, before, streaming);
    if (found) return found;
    return text[1] && /[!-/:-@[-`{-~]/.test(text[1]) ? [text[1], 2] : undefined;
  },
  '`': (text, _before, streaming) => {
    const mark = /^`+/.exec(text)?.[0] ?? '`';
    const end = new RegExp(`(?<!\`)${mark}(?!\`)`).exec(text.slice(mark.length));
    if (!end) return streaming && text.length > mark.length ? [code(text.slice(mark.length)), text.length] : [mark, mark.length];
    return [code(text.slice(mark.length, mark.length + end.index)), end.index + 2 * mark.length];
  },
  '\n': () => [{ kind: 'break' }, 1],
  '&': (text) => {
    const [whole, name = ''] = /^&(#?\w+);/.exec(text) ?? [];
    const character = ENTITIES[name];
    return whole && character ? [character, whole.length] : undefined;
  },
  '<': (text) => {
    const [whole, href = ''] = /^<((?:https?:\/\/|mailto:)[^\s<>]+)>/i.exec(text) ?? [];
    return whole ? [{ kind: 'link', href, children: [href] }, whole.length] : undefined;
  },
  '!': (text, _before, streaming, depth) => {
    // A picture would be fetched from elsewhere: it is a link.
    const found = text[1] === '[' ? link(text.slice(1), streaming, depth) : undefined;
    return found && [found[0], found[1] + 1];
  },
  '[': (text, _before, streaming, depth) => link(text, streaming, depth),
  $: tex,
  h: bareLink,
  '*': run,
  _: run,
  '~': (text, before) => (text.startsWith('~~') ? run(text, before) : undefined),
};

/** A formula that has an end, or may still get one. */
function tex(text: string, before: string, streaming: boolean): [Node, number] | undefined {
  const found = formula(text, before);
  if (!found || !(found.closed || streaming)) return undefined;
  const length = found.written.length;
  const [after = ''] = found.display ? [] : (/^[.,;:!?)\]’”»]+/.exec(text.slice(length)) ?? []);
  return [after ? { ...found, after } : found, length + after.length];
}

function code(text: string): Inline {
  const one = text.replace(/\n/g, ' ');
  return { kind: 'code', text: /^ .*[^ ].* $/.test(one) ? one.slice(1, -1) : one };
}

function link(text: string, streaming: boolean, depth: number): [Node | Node[], number] | undefined {
  if (depth > 2) return undefined;
  const whole = /^\[((?:[^[\]\\]|\\.|\[[^[\]]*\])*)\]\(\s*<?((?:[^\s()<>]|\([^\s()]*\))*)>?(?:\s+["'(][^\n]*?["')])?\s*\)/.exec(text);
  if (!whole) {
    const begun = streaming ? /^\[([^[\]\n]+)\]\([^\s)]*$/.exec(text) : null;
    return begun ? [parse(begun[1] ?? '', true, depth + 1), text.length] : undefined;
  }
  const [all, label = '', href = ''] = whole;
  const children = parse(label, false, depth + 1);
  return [/^(https?:\/\/|mailto:)/i.test(href) ? { kind: 'link', href, children } : children, all.length];
}

function bareLink(text: string, before: string): [Node, number] | undefined {
  if (/[\p{L}\p{N}]$/u.test(before)) return undefined;
  let [href] = /^https?:\/\/[^\s<>`*|"]+/.exec(text) ?? [''];
  href = href.replace(/[.,:;!?'_~]+$/, '');
  while (href.endsWith(')') && href.split(')').length > href.split('(').length) href = href.slice(0, -1);
  return /^https?:\/\/./.test(href) ? [{ kind: 'link', href, children: [href] }, href.length] : undefined;
}

/** Whether a run opens or closes depends on what is around it, as CommonMark has it. */
function run(text: string, before: string): [Run, number] {
  const mark = text[0] ?? '*';
  const count = text.length - text.replace(mark === '*' ? /^\*+/ : mark === '_' ? /^_+/ : /^~+/, '').length;
  const [previous = ' ', next = ' '] = [before.slice(-1) || ' ', text.slice(count, count + 1) || ' '];
  const left = !/\s/.test(next) && (!PUNCTUATION.test(next) || /\s/.test(previous) || PUNCTUATION.test(previous));
  const right = !/\s/.test(previous) && (!PUNCTUATION.test(previous) || /\s/.test(next) || PUNCTUATION.test(next));
  const word = mark === '_';
  const opens = left && (!word || !right || PUNCTUATION.test(previous));
  const closes = right && (!word || !left || PUNCTUATION.test(next));
  return [{ kind: 'run', mark, count, opens, closes }, count];
}

/** Pairs the runs and wraps what is between them. */
function emphasised(nodes: Node[], streaming: boolean): Inline[] {
  for (let at = 0; at < nodes.length; at += 1) {
    for (let closer = nodes[at]; isRun(closer) && closer.closes && closer.count > 0; ) {
      const from = openerOf(nodes, at, closer);
      if (from < 0) break;
      at = wrap(nodes, from, at, closer);
    }
  }
  if (streaming) closeLast(nodes);
  return literal(nodes);
}

function openerOf(nodes: Node[], at: number, closer: Run): number {
  for (let from = at - 1; from >= 0; from -= 1) {
    const opener = nodes[from];
    if (!isRun(opener) || opener.mark !== closer.mark || !opener.opens || opener.count === 0) continue;
    const odd = (opener.closes || closer.opens) && (opener.count + closer.count) % 3 === 0 && closer.count % 3 !== 0;
    if (!odd && (closer.mark !== '~' || (opener.count >= 2 && closer.count >= 2))) return from;
  }
  return -1;
}

/** Wraps the nodes between two runs; gives where the closing run is then. */
function wrap(nodes: Node[], from: number, to: number, closer: Run): number {
  const opener = nodes[from] as Run;
  const used = opener.count >= 2 && closer.count >= 2 ? 2 : 1;
  const kind = closer.mark === '~' ? 'del' : used === 2 ? 'strong' : 'em';
  opener.count -= used;
  closer.count -= used;
  nodes.splice(from + 1, to - from - 1, { kind, children: literal(nodes.slice(from + 1, to)) });
  return from + 2;
}

/** What still streams is bold as soon as it begins to be, and a mark at the very end is not shown. */
function closeLast(nodes: Node[]) {
  const last = nodes.at(-1);
  if (isRun(last) && last.count > 0 && last.opens === last.closes) nodes.pop();
  const from = nodes.findLastIndex((node) => isRun(node) && node.opens && node.count >= 2 && node.mark !== '~');
  if (from < 0) return;
  const opener = nodes[from] as Run;
  opener.count -= 2;
  nodes.splice(from + 1, nodes.length, { kind: 'strong', children: literal(nodes.slice(from + 1)) });
}

/** Runs that found no partner are what was written. */
function literal(nodes: Node[]): Inline[] {
  const all: Inline[] = [];
  for (const node of nodes) {
    const plain = isRun(node) ? node.mark.repeat(node.count) : node;
    const last = all.at(-1);
    if (typeof plain === 'string' && typeof last === 'string') all[all.length - 1] = last + plain;
    else if (plain !== '') all.push(plain);
  }
  return all;
}

function isRun(node: Node | undefined): node is Run {
  return typeof node === 'object' && node.kind === 'run';
}
