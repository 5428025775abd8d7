// What a conversation is. All of it is plain data: it is stored as JSON.

export type Role = 'user' | 'assistant' | 'tool';

/** How an answer ended: as the server says, or what happened to it here. */
export type Finish = 'stop' | 'length' | 'tool_calls' | 'stopped' | 'failed';

/** A call of a tool as OpenAI's API has it. */
export interface Call {
  id: string;
  name: string;
  arguments: string;
}

export interface Timings {
  /** From sending to the first piece of the answer. */
  firstMs?: number;
  /** From the first piece to the last. */
  restMs?: number;
  promptTokens?: number;
  answerTokens?: number;
}

/** What went wrong, in words. */
export interface Problem {
  title: string;
  message: string;
  code?: string;
}

export interface Message {
  id: string;
  /** The message that this one follows; messages with the same one are versions of each other. */
  parent: string | null;
  role: Role;
  content: string;
  reasoning?: string;
  reasoningMs?: number;
  calls?: Call[];
  /** Of a tool's result: the call that it answers. */
  callId?: string;
  name?: string;
  model?: string;
  /** Whether the answer continues the text of the messages, by a model that cannot chat. */
  plain?: boolean;
  /** How many exchanges at the beginning the context had no room for. */
  leftOut?: number;
  finish?: Finish;
  timings?: Timings;
  problem?: Problem;
}

/** Every setting is the text in its field; empty means that the server decides. */
export type Settings = Record<string, string>;

export interface Conversation {
  id: string;
  title: string;
  /** Whether a person chose the title. */
  named: boolean;
  updated: number;
  settings: Settings;
  messages: Message[];
  /** The end of the branch that is shown. */
  leaf: string | null;
}
