// What the page reads of `/openapi.json`.

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema;
  required?: string[];
  /** What a text is that is JSON. */
  contentSchema?: Schema;
  minimum?: number;
  maximum?: number;
  description?: string;
  'x-whinchat-use'?: 'refused' | 'ignored';
}

export interface Parameter {
  name: string;
  in: 'path' | 'query';
  required?: boolean;
  description?: string;
  schema: Schema;
}

type Content = Record<string, { schema: Schema; example?: unknown }>;

interface Described {
  operationId: string;
  tags: string[];
  summary: string;
  security: object[];
  parameters?: Parameter[];
  requestBody?: { content: Content };
  responses: Record<string, { description: string; content?: Content }>;
  'x-whinchat-roles': string;
}

export interface OpenApi {
  info: { version: string; description: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Described>>;
}

/** A method of a path. */
export interface Operation extends Described {
  method: string;
  path: string;
}

export function operations({ paths }: OpenApi): Operation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ ...described, method: method.toUpperCase(), path })),
  );
}

/** The body of a request, if it has one: its media type, its fields, and one that is answered. */
export function bodyOf({ requestBody }: Operation): { media: string; schema: Schema; example: string } | undefined {
  const [media, content] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  if (!media || !content) return undefined;
  return { media, schema: content.schema, example: content.example === undefined ? '' : JSON.stringify(content.example, null, 2) };
}

/** What each event or line of a stream is, else what the whole is. */
export function partOf(schema: Schema): Schema {
  return schema.contentSchema ?? schema.properties?.['data']?.contentSchema ?? schema;
}

/** A type in a few words. */
export function typeOf(schema: Schema): string {
  if (schema.$ref) return schema.$ref.split('/').at(-1) ?? '';
  if (schema.anyOf) return either(schema.anyOf.map(typeOf));
  if (schema.enum) return either(schema.enum.filter((value) => value !== null).map((value) => JSON.stringify(value)));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const types = [schema.type ?? 'anything'].flat();
  return either(types.map((type) => named(type, schema)));
}

function named(type: string, { items, minimum, maximum }: Schema): string {
  if (type === 'array') return items ? `array of ${typeOf(items)}` : type;
  const bounded = (type === 'integer' || type === 'number') && (minimum !== undefined || maximum !== undefined);
  if (!bounded) return type;
  if (maximum === undefined) return `${type} from ${minimum}`;
  return minimum === undefined ? `${type} to ${maximum}` : `${type} ${minimum} to ${maximum}`;
}

/** Null is as good as nothing, and goes without saying. */
function either(types: string[]): string {
  return [...new Set(types)].filter((type) => type !== 'null').join(' or ');
}
