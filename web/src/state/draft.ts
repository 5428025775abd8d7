// An answer while it comes: chunks go in, the message so far comes out. The time is passed in.

import type { CallPart, Chunk } from '../api/server.ts';
import type { Call, Finish, Message, Problem, Timings } from './types.ts';

export class Draft {
  private readonly base: Message;
  private readonly now: () => number;
  private readonly began: number;
  private content: string;
  private reasoning = '';
  private reasonedMs: number | undefined;
  private calls: Call[] = [];
  private first: number | undefined;
  private last = 0;
  private finish: Finish | undefined;
  private usage: Chunk['usage'];
  private leftOut: number | undefined;

  /** `base` may have content already, which then goes on. */
  constructor(base: Message, now: () => number) {
    this.base = base;
    this.now = now;
    this.began = now();
    this.content = base.content;
  }

  take(chunk: Chunk) {
    if (chunk.content || chunk.reasoning || chunk.calls) this.arrived();
    this.reasoning += chunk.reasoning ?? '';
    this.content += chunk.content ?? '';
    for (const part of chunk.calls ?? []) this.takeCall(part);
    if (chunk.finish) this.finish = chunk.finish === 'length' || chunk.finish === 'tool_calls' ? chunk.finish : 'stop';
    if (chunk.usage) this.usage = chunk.usage;
    this.leftOut = chunk.leftOut ?? this.leftOut;
    this.reasonedMs ??= this.hasReasoned() ? this.last - (this.first ?? this.last) : undefined;
  }

  /** Ends it otherwise than the server would. */
  end(finish: Finish, problem?: Problem): Message {
    this.finish = finish;
    return { ...this.message(), ...(problem && { problem }) };
  }

  message(): Message {
    const { base, content, reasoning, reasonedMs, calls, leftOut, finish } = this;
    return {
      ...base,
      content,
      ...(reasoning && { reasoning }),
      ...(reasonedMs !== undefined && { reasoningMs: reasonedMs }),
      ...(calls.length > 0 && { calls }),
      ...(leftOut && { leftOut }),
      ...(finish && { finish }),
      timings: this.timings(),
    };
  }

  private arrived() {
    this.last = this.now();
    this.first ??= this.last;
  }

  /** Whether there was reasoning and it is over. */
  private hasReasoned(): boolean {
    return this.reasoning !== '' && (this.content !== '' || this.calls.length > 0);
  }

  private takeCall(part: CallPart) {
    const at = part.index ?? Math.max(this.calls.length - 1, 0);
    const before = this.calls[at] ?? { id: `call_${at}`, name: '', arguments: '' };
    const after = {
      id: part.id ?? before.id,
      name: before.name + (part.function?.name ?? ''),
      arguments: before.arguments + (part.function?.arguments ?? ''),
    };
    this.calls = [...this.calls.slice(0, at), after, ...this.calls.slice(at + 1)];
  }

  private timings(): Timings {
    const { first, last, usage } = this;
    return {
      ...(first !== undefined && { firstMs: first - this.began, restMs: last - first }),
      ...(usage?.prompt_tokens !== undefined && { promptTokens: usage.prompt_tokens }),
      ...(usage?.completion_tokens !== undefined && { answerTokens: usage.completion_tokens }),
    };
  }
}
