// The arguments of a tool's call.

/** Names and values, if the text is whole: an object in JSON, or nothing. */
export function argumentsOf(text: string): [string, unknown][] | undefined {
  try {
    const value = JSON.parse(text || '{}') as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined;
  } catch {
    return undefined;
  }
}
