// Markdown: what it is taken for. Written short: a block is a list of its kind and what is in it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './support/modules.mjs';

const { blocks } = await load('text/blocks.ts');
const { inline } = await load('text/inline.ts');
const { highlight } = await load('text/highlight.ts');

/** Inline nodes as text: emphasis in the tags of HTML. */
function spans(nodes) {
  const tags = { strong: 'b', em: 'i', del: 's' };
  return nodes
    .map((node) => {
      if (typeof node === 'string') return node;
      if (node.kind === 'break') return '<br>';
      if (node.kind === 'code') return `<code>${node.text}</code>`;
      if (node.kind === 'formula') return `<${node.closed ? '' : 'open '}${node.display ? 'display' : 'tex'} ${node.closed ? node.tex : node.written}>${node.after ?? ''}`;
      if (node.kind === 'link') return `<a ${node.href}>${spans(node.children)}</a>`;
      return `<${tags[node.kind]}>${spans(node.children)}</${tags[node.kind]}>`;
    })
    .join('');
}

function check(text, expected, streaming = false) {
  assert.equal(spans(inline(text, streaming)), expected, JSON.stringify(text));
}

test('emphasis', () => {
  check('a **b** c', 'a <b>b</b> c');
  check('*a* _b_ __c__ ~~d~~', '<i>a</i> <i>b</i> <b>c</b> <s>d</s>');
  check('***both***', '<i><b>both</b></i>');
  check('**a *b* c**', '<b>a <i>b</i> c</b>');
  check('2 * 3 * 4', '2 * 3 * 4');
  check('snake_case_name', 'snake_case_name');
  check('**unclosed', '**unclosed');
  check('a ** b', 'a ** b');
  check('*a **b*', '*a *<i>b</i>');
  check('~5 and ~6', '~5 and ~6');
  check('\\*no\\*', '*no*');
  check('**Bold:** text', '<b>Bold:</b> text');
});

test('code', () => {
  check('`a *b*`', '<code>a *b*</code>');
  check('``a ` b``', '<code>a ` b</code>');
  check('` a `', '<code>a</code>');
  check('a ` b', 'a ` b');
  check('`<b>`', '<code><b></code>');
});

test('links lead to the web or nowhere', () => {
  check('[a](https://e.org "t")', '<a https://e.org>a</a>');
  check('[**a** b](https://e.org/x_(y))', '<a https://e.org/x_(y)><b>a</b> b</a>');
  check('[a](mailto:a@e.org)', '<a mailto:a@e.org>a</a>');
  check('[a](javascript:alert(1))', 'a');
  check('[a](JAVASCRIPT:alert)', 'a');
  check('[a](data:text/html,x)', 'a');
  check('[a](/v1/models)', 'a');
  check('![a](https://e.org/a.png)', '<a https://e.org/a.png>a</a>');
  check('<https://e.org>', '<a https://e.org>https://e.org</a>');
  check('see https://e.org/a_b, or (https://e.org/c).', 'see <a https://e.org/a_b>https://e.org/a_b</a>, or (<a https://e.org/c>https://e.org/c</a>).');
  check('xhttps://e.org', 'xhttps://e.org');
  check('[a] (b)', '[a] (b)');
});

test('HTML is text, entities are characters', () => {
  check('<b>a</b>', '<b>a</b>');
  check('a &lt; b &amp;&amp; c &bogus;', 'a < b && c &bogus;');
});

test('formulas are TeX, prices are not', () => {
  check('a \\(x_1 * y_2\\), b', 'a <tex x_1 * y_2>, b');
  check('\\[x\\] y', '<display x> y');
  check('a $x$-axis, $*a*$.', 'a <tex x>-axis, <tex *a*>.');
  check('a $$x$$ b', 'a <display x> b');
  check('\\(a\nb\\)', '<tex a\nb>');
  check('\\(a \\\\) b\\)', '<tex a \\\\) b>');
  check('**$a$**', '<b><tex a></b>');
  check('$a \\$ b$', '<tex a \\$ b>');
  check('$5 and $10', '$5 and $10');
  check('$5-$10, US$5, 5$', '$5-$10, US$5, 5$');
  check('$5 (was $6)', '$5 (was $6)');
  check('$HOME/$USER', '$HOME/$USER');
  check('`$a$` $a`b`$', '<code>$a$</code> $a<code>b</code>$');
  check('\\$a$ $ a$ $a $', '$a$ $ a$ $a $');
  check('$$ $ \\(\\) $', '$$ $ () $');
  check('\\(a', '(a');
  check('\\(a', '<open tex \\(a>', true);
  check('$a', '$a', true);
});

test('what streams is shown as it will be', () => {
  check('a **b', 'a <b>b</b>', true);
  check('a **b *c', 'a <b>b *c</b>', true);
  check('a `b', 'a <code>b</code>', true);
  check('see [a](https://e.o', 'see a', true);
  check('2 * 3', '2 * 3', true);
});

/** Blocks in short. */
function short(all) {
  return all.map((block) => {
    switch (block.kind) {
      case 'paragraph':
        return block.text;
      case 'heading':
        return [`h${block.level}`, block.text];
      case 'code':
        return ['code', block.language, block.text];
      case 'quote':
        return ['quote', ...short(block.children)];
      case 'list':
        return [block.start === undefined ? 'ul' : `ol${block.start}`, ...block.items.map((item) => [...(item.checked === undefined ? [] : [item.checked]), ...short(item.children)])];
      case 'formula':
        return [block.closed ? 'display' : 'open', block.closed ? block.tex : block.written];
      case 'table':
        return ['table', block.align.map((side) => side ?? '-').join(), ...block.rows];
      default:
        return block.kind;
    }
  });
}

function checkBlocks(text, expected) {
  assert.deepEqual(short(blocks(text)), expected, JSON.stringify(text));
}

test('paragraphs and headings', () => {
  checkBlocks('a\nb\n\nc', ['a\nb', 'c']);
  checkBlocks('# A\ntext\n## B ##', [['h1', 'A'], 'text', ['h2', 'B']]);
  checkBlocks('#no', ['#no']);
  checkBlocks('a\n---\nb', ['a', 'rule', 'b']);
  checkBlocks('***', ['rule']);
  checkBlocks('', []);
});

test('code keeps its text', () => {
  checkBlocks('```js\na\n\n  b\n```\nc', [['code', 'js', 'a\n\n  b'], 'c']);
  checkBlocks('~~~\n```\n~~~', [['code', '', '```']]);
  checkBlocks('````md\n```\n````', [['code', 'md', '```']]);
  checkBlocks('text\n```py\nopen', ['text', ['code', 'py', 'open']]);
  checkBlocks('- a\n  ```\n  b\n    c\n  ```', [['ul', ['a', ['code', '', 'b\n  c']]]]);
});

test('lists', () => {
  checkBlocks('- a\n- b', [['ul', ['a'], ['b']]]);
  checkBlocks('3. a\n4. b', [['ol3', ['a'], ['b']]]);
  checkBlocks('1. a\n   - b\n     - c\n2. d', [['ol1', ['a', ['ul', ['b', ['ul', ['c']]]]], ['d']]]);
  checkBlocks('1. a\n  - b\n2. c', [['ol1', ['a', ['ul', ['b']]], ['c']]]);
  checkBlocks('- a\n\n- b\n\n  more', [['ul', ['a'], ['b', 'more']]]);
  checkBlocks('- a\nlazy', [['ul', ['a\nlazy']]]);
  checkBlocks('text\n- a', ['text', ['ul', ['a']]]);
  checkBlocks('born in\n1984. Then', ['born in\n1984. Then']);
  checkBlocks('- a\n* b', [['ul', ['a']], ['ul', ['b']]]);
  checkBlocks('- [x] a\n- [ ] b', [['ul', [true, 'a'], [false, 'b']]]);
  checkBlocks('- a\n\ntext', [['ul', ['a']], 'text']);
  checkBlocks('-5 degrees', ['-5 degrees']);
});

test('tables and quotes', () => {
  checkBlocks('| a | b |\n|:--|--:|\n| 1 | 2 |', [['table', 'left,right', ['a', 'b'], ['1', '2']]]);
  checkBlocks('a | b\n--- | :-:\n1', [['table', '-,center', ['a', 'b']], '1']);
  checkBlocks('| a |\n|---|\n| x \\| y |', [['table', '-', ['a'], ['x | y']]]);
  checkBlocks('a | b\nno', ['a | b\nno']);
  checkBlocks('> a\n> > b\nlazy\n\nc', [['quote', 'a', ['quote', 'b\nlazy']], 'c']);
});

test('formulas on lines of their own', () => {
  checkBlocks('a\n\\[\n- x\n# y\n\\]\nb', ['a', ['display', '- x\n# y'], 'b']);
  checkBlocks('$$ x $$.', [['display', 'x.']]);
  checkBlocks('$$\nx\n$$ b', ['$$\nx\n$$ b']);
  checkBlocks('a $$\nx\n$$ b', ['a $$\nx\n$$ b']);
  checkBlocks('\\[\n\nx\n\n\\]', [['display', 'x']]);
  checkBlocks('$$\nx\n\ny\n$$', ['$$\nx', 'y\n$$']);
  checkBlocks('\\[\nx', [['open', '\\[\nx']]);
  checkBlocks('\\[\nx\n\ny', [['open', '\\[\nx'], 'y']);
  checkBlocks('\\begin{align*}\nx\n\\end{align*}.', [['display', '\\begin{align*}\nx\n\\end{align*}']]);
  checkBlocks('\\begin{document}\nx', ['\\begin{document}\nx']);
  checkBlocks('1. a\n   \\[\n   x\n   \\]\n2. b', [['ol1', ['a', ['display', 'x']], ['b']]]);
  checkBlocks('\\[1\\] Smith', ['\\[1\\] Smith']);
});

test('nothing makes it fail or hang', () => {
  const bits = ['*', '**', '_', '`', '```', '\n', '\n\n', '- ', '1. ', '> ', '|', '|--|', '[', '](', ')', '<', 'a', ' ', 'https://', '~~', '\\', '$', '$$', '\\(', '\\)', '\\[', '\n\\[', '#', '&amp;', '   ', 'é', '😀'];
  let seed = 1;
  const random = (below) => (seed = (seed * 48271) % 0x7fffffff) % below;
  for (let round = 0; round < 3000; round += 1) {
    const text = Array.from({ length: random(40) }, () => bits[random(bits.length)]).join('');
    for (const block of blocks(text)) if (block.text !== undefined) inline(block.text, round % 2 === 0);
  }
  for (const bit of bits) blocks(bit.repeat(3000)).forEach((block) => block.text !== undefined && inline(block.text));
});

test('colours leave the code as it is', () => {
  const code = 'let a = "x" // c\nfoo(1, `t`) /* d */';
  const pieces = highlight(code, 'js');
  assert.equal(pieces.map(({ text }) => text).join(''), code);
  const kinds = Object.fromEntries(pieces.filter(({ kind }) => kind).map(({ kind, text }) => [text, kind]));
  assert.deepEqual(kinds, { let: 'keyword', '"x"': 'string', '// c': 'comment', foo: 'call', 1: 'number', '`t`': 'string', '/* d */': 'comment' });
  assert.equal(highlight('# a', 'python')[0].kind, 'comment');
  assert.equal(highlight('let a', '')[0].kind, undefined);
});
