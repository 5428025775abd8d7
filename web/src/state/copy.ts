// Conversations out of the page: to the clipboard, to a file.

import { wire } from '../api/request.ts';
import { notice } from './notice.ts';
import { path } from './tree.ts';
import type { Conversation } from './types.ts';

/** Whether it worked. Without HTTPS or localhost browsers have no clipboard object, but still the old command. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOld(text);
  }
}

function copyOld(text: string): boolean {
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'unseen';
  document.body.append(field);
  field.select();
  const worked = document.execCommand('copy');
  field.remove();
  return worked;
}

export async function copyConversation(conversation: Conversation) {
  const worked = await copy(asText(conversation));
  notice(worked ? 'The conversation is copied.' : 'The browser does not let this page copy.');
}

interface Wired {
  role: string;
  content: string | null;
  tool_calls?: { function: object }[];
}

const NAMES: Record<string, string> = { system: 'System', user: 'You', assistant: 'Assistant', tool: 'Tool' };

/** As Markdown that reads well anywhere. */
export function asText(conversation: Conversation): string {
  const messages = wire(conversation.settings, path(conversation)) as Wired[];
  const calls = ({ tool_calls = [] }: Wired) => tool_calls.map((call) => `\`\`\`json\n${JSON.stringify(call.function)}\n\`\`\``);
  return messages.map((one) => [`**${NAMES[one.role] ?? one.role}**`, one.content, ...calls(one)].filter(Boolean).join('\n\n')).join('\n\n') + '\n';
}

/** Saves the shown path as JSON: `messages` are as the API takes them. */
export function exportJson(conversation: Conversation) {
  const { title, settings, updated } = conversation;
  const shown = path(conversation);
  const models = [...new Set(shown.map(({ model }) => model).filter((name) => name !== undefined))];
  const file = { title, updated: new Date(updated).toISOString(), models, settings, messages: wire(settings, shown) };
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 2)], { type: 'application/json' }));
  link.download = `${title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').toLowerCase() || 'chat'}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}
