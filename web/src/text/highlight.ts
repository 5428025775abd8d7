// Colours for code: comments, strings, numbers and keywords, roughly right in many languages rather than exact in one.

export interface Piece {
  kind: 'comment' | 'string' | 'number' | 'keyword' | 'call' | undefined;
  text: string;
}

const KEYWORDS = new Set(
  ('abstract and as async await begin bool break case catch char class const continue crate def default defer delete do ' +
    'double elif else end enum except export extends extern false final finally float fn for foreach from func function go if ' +
    'impl implements import in include instanceof int interface is lambda let local long loop match mod module move mut ' +
    'namespace new nil none not null nullptr or package pass private protected pub public raise readonly ref return self ' +
    'short sizeof static str string struct super switch then this throw throws trait true try type typedef typeof undefined ' +
    'union unsafe unsigned use using val var virtual void when where while with yield None True False Self String ' +
    'done esac fi echo select insert update create table values into join on group order by limit set SELECT FROM WHERE ' +
    'INSERT UPDATE DELETE CREATE TABLE VALUES INTO JOIN ON GROUP ORDER BY LIMIT SET AND OR NOT NULL AS').split(' '),
);

const HASH = /^(py|python|rb|ruby|sh|bash|zsh|shell|console|ya?ml|toml|r|perl|make|makefile|dockerfile|elixir|nix|ini|conf)$/;
const DASH = /^(sql|lua|haskell|hs|ada|elm)$/;
const PLAIN = /^(|text|txt|plain|plaintext|markdown|md|output|diff)$/;

const STRING = String.raw`"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'|` + '`(?:[^`\\\\]|\\\\.)*`?';
const NUMBER = String.raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\w*`;
const WORD = String.raw`[A-Za-z_]\w*`;

/** Beyond this, code is shown plain: colours are not worth a pause. */
const LONGEST = 20_000;

export function highlight(code: string, language: string): Piece[] {
  const name = language.toLowerCase();
  if (PLAIN.test(name) || code.length > LONGEST) return [{ kind: undefined, text: code }];
  const comment = HASH.test(name) ? '#.*' : DASH.test(name) ? '--.*' : String.raw`//.*|/\*[\s\S]*?(?:\*/|$)|<!--[\s\S]*?(?:-->|$)`;
  const longStrings = String.raw`"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)`;
  const tokens = new RegExp(`(${comment})|(${longStrings}|${STRING})|(${NUMBER})|(${WORD})`, 'g');
  const pieces: Piece[] = [];
  let at = 0;
  for (const token of code.matchAll(tokens)) {
    const kind = kindOf(token, code);
    if (!kind) continue;
    if (token.index > at) pieces.push({ kind: undefined, text: code.slice(at, token.index) });
    pieces.push({ kind, text: token[0] });
    at = token.index + token[0].length;
  }
  if (at < code.length) pieces.push({ kind: undefined, text: code.slice(at) });
  return pieces;
}

function kindOf(token: RegExpMatchArray, code: string): Piece['kind'] {
  if (token[1] !== undefined) return 'comment';
  if (token[2] !== undefined) return 'string';
  if (token[3] !== undefined) return 'number';
  if (KEYWORDS.has(token[0])) return 'keyword';
  return code[(token.index ?? 0) + token[0].length] === '(' ? 'call' : undefined;
}
