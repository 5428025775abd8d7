// An answer's text taken apart: reasoning in <think>, calls in <tool_call>, and what is said.

export type Part =
  | { kind: 'text'; text: string }
  | { kind: 'think'; text: string; open: boolean }
  | { kind: 'call'; source: string; open: boolean; call?: { name: string; arguments: unknown } };

/** Takes an answer apart. While it streams, a tag that may only have begun is held back. */
export function parts(content: string, streaming = false): Part[] {
  const [reasoning, said] = splitReasoning(content, streaming);
  return [...reasoning, ...splitCalls(said, streaming)];
}

/** Reasoning comes first, or not at all. Templates that open it themselves leave only its end in the answer. */
function splitReasoning(content: string, streaming: boolean): [Part[], string] {
  const opened = /^\s*<think>/.exec(content);
  const end = content.indexOf('</think>');
  if (!opened && end < 0) {
    const begun = streaming && content !== '' && '<think>'.startsWith(content.trimStart());
    return [[], begun ? '' : content];
  }
  const from = opened ? opened[0].length : 0;
  if (end < 0) {
    const text = holdBack(content.slice(from), '</think>', streaming).trim();
    return [[{ kind: 'think', text, open: streaming }], ''];
  }
  const text = content.slice(from, end).trim();
  const said = content.slice(end + '</think>'.length).trimStart();
  return [text ? [{ kind: 'think', text, open: false }] : [], said];
}

/** A call is an element outside of code. */
function splitCalls(content: string, streaming: boolean): Part[] {
  const found: Part[] = [];
  let rest = content;
  for (let at: number; (at = indexOutsideCode(rest, '<tool_call>')) >= 0; ) {
    pushText(found, rest.slice(0, at));
    const inside = rest.slice(at + '<tool_call>'.length);
    const end = inside.indexOf('</tool_call>');
    const source = (end < 0 ? holdBack(inside, '</tool_call>', streaming) : inside.slice(0, end)).trim();
    const open = end < 0 && streaming;
    const call = open ? undefined : parsed(source);
    found.push({ kind: 'call', source, open, ...(call && { call }) });
    rest = end < 0 ? '' : inside.slice(end + '</tool_call>'.length);
  }
  pushText(found, holdBack(rest, '<tool_call>', streaming));
  return found;
}

function pushText(found: Part[], text: string) {
  if (text.trim()) found.push({ kind: 'text', text: text.replace(/^\n+/, '').trimEnd() });
}

function indexOutsideCode(text: string, tag: string): number {
  for (let at = text.indexOf(tag); at >= 0; at = text.indexOf(tag, at + 1)) {
    const before = text.slice(0, at);
    const fences = before.match(/^ {0,3}(```|~~~)/gm)?.length ?? 0;
    const ticks = before.slice(before.lastIndexOf('\n') + 1).split('`').length - 1;
    if (fences % 2 === 0 && (ticks % 2 === 0 || before.endsWith('```'))) return at;
  }
  return -1;
}

function holdBack(text: string, tag: string, streaming: boolean): string {
  if (!streaming) return text;
  const at = text.lastIndexOf('<');
  return at >= 0 && tag.startsWith(text.slice(at)) ? text.slice(0, at) : text;
}

/** The name and the arguments of a call, if it is one. */
function parsed(source: string): { name: string; arguments: unknown } | undefined {
  try {
    const value = JSON.parse(source) as { name?: unknown; arguments?: unknown; parameters?: unknown };
    if (typeof value?.name !== 'string') return undefined;
    return { name: value.name, arguments: value.arguments ?? value.parameters ?? {} };
  } catch {
    return undefined;
  }
}
