// Copies a text and says for a moment that it did.

import { useEffect, useState } from 'preact/hooks';
import { copy } from '../state/copy.ts';
import { notice } from '../state/notice.ts';
import { IconButton } from './icon-button.tsx';

const SAID_MS = 2000;

export function CopyButton({ text, label }: { text: () => string; label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    const timer = copied ? setTimeout(() => setCopied(false), SAID_MS) : undefined;
    return () => clearTimeout(timer);
  }, [copied]);
  const onClick = async () => {
    if (await copy(text())) setCopied(true);
    else notice('The browser does not let this page copy.');
  };
  return <IconButton icon={copied ? 'check' : 'copy'} label={copied ? 'Copied' : label} onClick={onClick} />;
}
