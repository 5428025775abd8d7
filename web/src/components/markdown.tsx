// Markdown as elements. An answer never becomes HTML: every element is made here, so it cannot bring one of its own.

import { Component, type ComponentChildren } from 'preact';
import { blocks, type Block, type Item } from '../text/blocks.ts';
import { inline, type Inline } from '../text/inline.ts';
import { CodeBlock } from './code-block.tsx';
import { FormulaView } from './formula.tsx';

interface Props {
  text: string;
  streaming?: boolean;
}

export function Markdown({ text, streaming = false }: Props) {
  const all = blocks(text);
  const last = all.length - 1;
  return (
    <div class="prose">
      {all.map((block, i) => (
        <Stable key={i} block={block} streaming={streaming && i === last} />
      ))}
    </div>
  );
}

/** Blocks above the one that grows stay as they are. */
class Stable extends Component<{ block: Block; streaming: boolean }> {
  override shouldComponentUpdate(next: { block: Block; streaming: boolean }) {
    return next.block.source !== this.props.block.source || next.streaming !== this.props.streaming;
  }

  override render() {
    return <Shown block={this.props.block} streaming={this.props.streaming} />;
  }
}

function Shown({ block, streaming }: { block: Block; streaming: boolean }) {
  switch (block.kind) {
    case 'paragraph':
      return <p>{spans(inline(block.text, streaming))}</p>;
    case 'heading':
      return <Heading level={block.level}>{spans(inline(block.text, streaming))}</Heading>;
    case 'code':
      if (block.language === 'math') return <FormulaView kind="formula" tex={block.text} written={block.text} display closed />;
      return <CodeBlock code={block.text} language={block.language} />;
    case 'quote':
      return <blockquote>{several(block.children, streaming)}</blockquote>;
    case 'list':
      return <List block={block} streaming={streaming} />;
    case 'table':
      return <Table block={block} streaming={streaming} />;
    case 'rule':
      return <hr />;
    case 'formula':
      return <FormulaView {...block} />;
  }
}

/** The page's own headings are of the first two levels. */
function Heading({ level, children }: { level: number; children: ComponentChildren }) {
  const Tag = `h${Math.min(level + 2, 6)}` as 'h3';
  return <Tag class={`heading-${level}`}>{children}</Tag>;
}

function List({ block, streaming }: { block: Block & { kind: 'list' }; streaming: boolean }) {
  const Tag = block.start === undefined ? 'ul' : 'ol';
  const last = block.items.length - 1;
  return (
    <Tag start={block.start === 1 ? undefined : block.start} class={block.loose ? 'loose' : undefined}>
      {block.items.map((item, i) => (
        <li key={i} class={item.checked === undefined ? undefined : 'task'}>
          <ItemBody item={item} loose={block.loose} streaming={streaming && i === last} />
        </li>
      ))}
    </Tag>
  );
}

function ItemBody({ item, loose, streaming }: { item: Item; loose: boolean; streaming: boolean }) {
  const [first, ...rest] = item.children;
  const bare = !loose && first?.kind === 'paragraph';
  return (
    <>
      {item.checked !== undefined && <input type="checkbox" checked={item.checked} disabled aria-label="Done" />}
      {bare ? spans(inline(first.text, streaming && rest.length === 0)) : first && <Shown block={first} streaming={streaming} />}
      {several(rest, streaming)}
    </>
  );
}

function Table({ block, streaming }: { block: Block & { kind: 'table' }; streaming: boolean }) {
  const [head = [], ...rows] = block.rows;
  const cell = (text: string, i: number, Tag: 'th' | 'td') => (
    <Tag key={i} class={block.align[i] && `align-${block.align[i]}`} {...(Tag === 'th' && { scope: 'col' })}>
      {spans(inline(text, streaming))}
    </Tag>
  );
  return (
    <div class="wide" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>{head.map((text, i) => cell(text, i, 'th'))}</tr>
        </thead>
        <tbody>
          {rows.map((row, r) => (
            <tr key={r}>{row.map((text, i) => cell(text, i, 'td'))}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function several(children: Block[], streaming: boolean) {
  return children.map((block, i) => <Shown key={i} block={block} streaming={streaming && i === children.length - 1} />);
}

function spans(nodes: Inline[]): ComponentChildren {
  return nodes.map((node) => (typeof node === 'string' ? node : span(node)));
}

function span(node: Exclude<Inline, string>) {
  switch (node.kind) {
    case 'strong':
      return <strong>{spans(node.children)}</strong>;
    case 'em':
      return <em>{spans(node.children)}</em>;
    case 'del':
      return <del>{spans(node.children)}</del>;
    case 'code':
      return <code>{node.text}</code>;
    case 'break':
      return <br />;
    case 'formula':
      return <FormulaView {...node} />;
    case 'link':
      return (
        <a href={node.href} target="_blank" rel="noopener noreferrer">
          {spans(node.children)}
        </a>
      );
  }
}
