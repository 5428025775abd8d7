// The settings that have a field: what each takes, and how its text becomes part of a request. docs/http.md has their meaning.

export interface Field {
  key: string;
  label: string;
  hint: string;
  /** What the server does when the field is empty. */
  empty: string;
  min?: number;
  max?: number;
  step: number | 'any';
  whole?: boolean;
}

const MODEL = 'model’s own';

/** Numbers of a request, in the order of docs/http.md's tables, the best known first. */
export const FIELDS: Field[] = [
  { key: 'temperature', label: 'Temperature', hint: '0 always takes the likeliest token', empty: MODEL, min: 0, step: 0.1 },
  { key: 'top_p', label: 'Top-p', hint: 'keeps the best tokens until their probabilities reach it', empty: MODEL, min: 0, max: 1, step: 0.05 },
  { key: 'top_k', label: 'Top-k', hint: 'keeps so many of the best tokens; 0 keeps all', empty: MODEL, min: -1, step: 1, whole: true },
  { key: 'min_p', label: 'Min-p', hint: 'keeps what has this share of the best token’s probability', empty: MODEL, min: 0, max: 1, step: 0.05 },
  { key: 'typical_p', label: 'Typical-p', hint: 'locally typical sampling; 1 is off', empty: '1', min: 0, max: 1, step: 0.05 },
  { key: 'max_tokens', label: 'Max tokens', hint: 'ends an answer after so many', empty: 'the context', min: 1, step: 1, whole: true },
  { key: 'seed', label: 'Seed', hint: 'the same seed and conversation give the same answer', empty: 'by chance', step: 1, whole: true },
  { key: 'repetition_penalty', label: 'Repetition penalty', hint: 'above 1 makes repeating less likely', empty: MODEL, min: 0.01, step: 0.05 },
  { key: 'frequency_penalty', label: 'Frequency penalty', hint: 'subtracted for each occurrence in the answer', empty: '0', min: -2, max: 2, step: 0.1 },
  { key: 'presence_penalty', label: 'Presence penalty', hint: 'subtracted once for what has occurred', empty: '0', min: -2, max: 2, step: 0.1 },
];

/** What a text means, or what is wrong with it. */
export type Read<T> = { value: T } | { problem: string } | undefined;

export function readNumber(field: Field, text = ''): Read<number> {
  if (!text.trim()) return undefined;
  const value = Number(text.trim().replace(',', '.'));
  if (!Number.isFinite(value)) return { problem: 'Write a number.' };
  if (field.whole && !Number.isSafeInteger(value)) return { problem: 'Write a whole number.' };
  const { min, max } = field;
  const outside = (min !== undefined && value < min) || (max !== undefined && value > max);
  if (!outside) return { value };
  return { problem: max === undefined ? `Write ${min} or more.` : `Write a number from ${min} to ${max}.` };
}

/** One string a line; `\n` in it is a line's end. */
export function readStop(text = ''): Read<string[]> {
  const value = text.split('\n').filter((line) => line !== '').map((line) => line.replace(/\\([nt\\])/g, unescaped));
  if (value.length === 0) return undefined;
  return value.length > 16 ? { problem: 'Write at most 16.' } : { value };
}

function unescaped(_: string, letter: string): string {
  return { n: '\n', t: '\t' }[letter] ?? letter;
}

export function readTools(text = ''): Read<object[]> {
  if (!text.trim()) return undefined;
  const read = readJson(text);
  if ('problem' in read) return read;
  const tools: object[] = [];
  for (const [i, entry] of [read.value].flat().entries()) {
    const tool = asTool(entry);
    if (typeof tool === 'string') return { problem: `Tool ${i + 1} ${tool}` };
    tools.push(tool);
  }
  return tools.length > 0 ? { value: tools } : undefined;
}

/** A tool as OpenAI writes it; a bare function will do. */
function asTool(entry: unknown): object | string {
  if (!isObject(entry)) return 'must be an object.';
  const bare = entry['function'] === undefined && typeof entry['name'] === 'string';
  const func = bare ? entry : entry['function'];
  if (!isObject(func)) return 'needs "function": an object with name, description and parameters.';
  if (typeof func['name'] !== 'string' || !func['name']) return 'needs a name.';
  if (func['parameters'] !== undefined && !isObject(func['parameters'])) return 'needs a JSON schema as its parameters.';
  return bare ? { type: 'function', function: entry } : entry;
}

export function readVariables(text = ''): Read<object> {
  if (!text.trim()) return undefined;
  const read = readJson(text);
  if ('problem' in read) return read;
  return isObject(read.value) ? { value: read.value } : { problem: 'Write an object: {"name": value}.' };
}

function readJson(text: string): { value: unknown } | { problem: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (thrown) {
    return { problem: `This is no JSON: ${(thrown as Error).message}.` };
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const EXAMPLE_TOOLS = JSON.stringify(
  [
    {
      type: 'function',
      function: {
        name: 'get_weather',
        description: 'The weather in a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    },
  ],
  null,
  2,
);
