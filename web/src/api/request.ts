// From a conversation to the body of a request.

import { FIELDS, readNumber, readStop, readTools, readVariables, type Read } from '../state/fields.ts';
import type { Message, Settings } from '../state/types.ts';

/** The settings as fields of a request, and what is wrong with them by key. */
export function parameters(settings: Settings): { body: Record<string, unknown>; problems: Record<string, string> } {
  const reads: [string, string, Read<unknown>][] = [
    ...FIELDS.map((field): [string, string, Read<unknown>] => [field.key, field.key, readNumber(field, settings[field.key])]),
    ['stop', 'stop', readStop(settings['stop'])],
    ['tools', 'tools', readTools(settings['tools'])],
    ['variables', 'chat_template_kwargs', readVariables(settings['variables'])],
  ];
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
  const said = messages.filter((message) => message.role !== 'assistant' || message.content || message.calls?.length);
  return [...(system ? [{ role: 'system', content: system }] : []), ...said.map(wireMessage)];
}

function wireMessage({ role, content, calls, callId, name }: Message): object {
  if (role === 'assistant' && calls?.length) {
    const tool_calls = calls.map((call) => ({
      id: call.id,
      type: 'function',
      function: { name: call.name, arguments: call.arguments },
    }));
    return { role, content: content || null, tool_calls };
  }
  return { role, content, ...(callId && { tool_call_id: callId }), ...(name && { name }) };
}
