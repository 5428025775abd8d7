// From a conversation to the body of a request.

import { FIELDS, readNumber, readStop, readTools, readVariables, type Read } from '../state/fields.ts';
import type { Message, Settings } from '../state/types.ts';
import { argumentsOf } from '../text/call.ts';

/** Where an answer is asked for, and with what. */
export interface Ask {
  address: string;
  body: Record<string, unknown>;
}

/** How an answer is asked for, whatever the messages. */
export interface Manner {
  model: string;
  settings: Settings;
  /** Whether the model has no chat template and continues a text. */
  plain: boolean;
  /** Whether the last message, an answer, is continued. */
  continues: boolean;
}

/** The most tokens of a text's continuation where the settings do not say: nothing else ends most. */
export const PLAIN_TOKENS = 256;

export function ask({ model, settings, plain, continues }: Manner, messages: Message[]): Ask {
  const stream = { stream: true, stream_options: { include_usage: true } };
  const { body } = parameters(settings, plain);
  if (plain) {
    return { address: 'v1/completions', body: { model, prompt: joined(messages), max_tokens: PLAIN_TOKENS, ...body, ...stream } };
  }
  const goesOn = continues && { continue_final_message: true, add_generation_prompt: false };
  return { address: 'v1/chat/completions', body: { model, messages: wire(settings, messages), ...body, ...goesOn, ...stream } };
}

/** All that was said as one text: an answer goes on where the text before it ends, what a person says begins a paragraph. */
function joined(messages: Message[]): string {
  return messages.reduce((text, { role, content }) => (role === 'user' && text ? `${text.trimEnd()}\n\n${content}` : text + content), '');
}

/** The settings as fields of a request, and what is wrong with them by key. A plain one has nothing for a chat template. */
export function parameters(settings: Settings, plain = false): { body: Record<string, unknown>; problems: Record<string, string> } {
  const reads: [string, string, Read<unknown>][] = [
    ...FIELDS.map((field): [string, string, Read<unknown>] => [field.key, field.key, readNumber(field, settings[field.key])]),
    ['stop', 'stop', readStop(settings['stop'])],
  ];
  if (!plain) {
    reads.push(['tools', 'tools', readTools(settings['tools'])]);
    reads.push(['variables', 'chat_template_kwargs', readVariables(settings['variables'])]);
  }
  const body: Record<string, unknown> = {};
  const problems: Record<string, string> = {};
  for (const [key, name, read] of reads) {
    if (read && 'value' in read) body[name] = read.value;
    if (read && 'problem' in read) problems[key] = read.problem;
  }
  return { body, problems };
}

/** The messages as the server takes them. */
export function wire(settings: Settings, messages: Message[]): object[] {
  const system = settings['system']?.trim();
  const said = messages.map(withoutCut).filter(({ role, content, calls }) => role !== 'assistant' || content || calls?.length);
  return [...(system ? [{ role: 'system', content: system }] : []), ...said.map(wireMessage)];
}

/** A message without calls whose arguments were cut: no template takes them. */
function withoutCut(message: Message): Message {
  return message.calls ? { ...message, calls: message.calls.filter((call) => argumentsOf(call.arguments)) } : message;
}

function wireMessage({ role, content, reasoning, calls, callId, name }: Message): object {
  const thought = reasoning && { reasoning_content: reasoning };
  if (calls?.length) {
    const tool_calls = calls.map((call) => ({
      id: call.id,
      type: 'function',
      function: { name: call.name, arguments: call.arguments || '{}' },
    }));
    return { role, content: content || null, ...thought, tool_calls };
  }
  return { role, content, ...thought, ...(callId && { tool_call_id: callId }), ...(name && { name }) };
}
