// What goes wrong between here and the server, as something to show.

import type { Problem } from '../state/types.ts';

/** An error that says what to show. */
export class Failure extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

const TITLES: Record<string, string> = {
  model_loading: 'The model is still being loaded',
  draining: 'The server is shutting down',
  queue_full: 'The server is busy',
  context_length_exceeded: 'The conversation is too long',
  model_not_found: 'The server does not have this model',
};

/** From the `error` of an answer, or of an event, in OpenAI's shape. */
export function fromServer(error: unknown, status?: number): Problem {
  const { message, code } = (error ?? {}) as { message?: unknown; code?: unknown };
  const word = typeof code === 'string' ? code : undefined;
  return {
    title: (word && TITLES[word]) || (status === undefined ? 'The server ended the answer' : `The server refused (${status})`),
    message: typeof message === 'string' ? message : 'It did not say why.',
    ...(word && { code: word }),
  };
}

export const UNREACHABLE: Problem = {
  title: 'The server cannot be reached',
  message: 'Is it still running? What you wrote is kept here.',
};

export const LOST: Problem = {
  title: 'The connection was lost',
  message: 'The answer above is what came until then.',
};

/** Whatever was thrown, as a problem. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Failure) return thrown.problem;
  return { title: 'Something went wrong on this page', message: String(thrown) };
}
