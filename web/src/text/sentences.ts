// Sentences of a text that still grows.

/** The whole sentences after `from`, and where they end. */
export function sentences(text: string, from: number): [string, number] {
  const rest = text.slice(from);
  const end = Math.max(...['. ', '! ', '? ', '\n'].map((mark) => rest.lastIndexOf(mark)));
  return end < 0 ? ['', from] : [rest.slice(0, end + 1).trim(), from + end + 1];
}
