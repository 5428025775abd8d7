// A conversation is a tree: editing and regenerating add versions and lose nothing. What is shown is one path in it.

import type { Conversation, Message } from './types.ts';

/** The messages from the first to `leaf`, the shown one if it is left out. */
export function path(conversation: Conversation, leaf: string | null = conversation.leaf): Message[] {
  const byId = new Map(conversation.messages.map((message) => [message.id, message]));
  const shown: Message[] = [];
  for (let at = leaf; at !== null; ) {
    const message = byId.get(at);
    if (!message || shown.length > byId.size) break;
    shown.unshift(message);
    at = message.parent;
  }
  return shown;
}

/** The versions of a message, itself among them, oldest first. */
export function versions(conversation: Conversation, message: Message): Message[] {
  return conversation.messages.filter((other) => other.parent === message.parent && other.role === message.role);
}

/** Adds a message and shows the path to it. */
export function append(conversation: Conversation, message: Message): Conversation {
  return { ...conversation, messages: [...conversation.messages, message], leaf: message.id, updated: Date.now() };
}

/** Changes a message in its place. */
export function replace(conversation: Conversation, message: Message): Conversation {
  const messages = conversation.messages.map((other) => (other.id === message.id ? message : other));
  return { ...conversation, messages, updated: Date.now() };
}

/** Shows the newest path through a message. */
export function show(conversation: Conversation, id: string): Conversation {
  let leaf = id;
  for (let next: Message | undefined; (next = conversation.messages.findLast(({ parent }) => parent === leaf)); ) {
    leaf = next.id;
  }
  return { ...conversation, leaf };
}
