// What is filled in beside a body of JSON: parts of the path, of the address, and fields of a form.

import type { Filled } from './send.ts';
import { bodyOf, typeOf, type Operation, type Schema } from './document.ts';

interface Field {
  name: string;
  schema: Schema;
  description: string;
  required: boolean;
}

interface Props {
  operation: Operation;
  filled: Filled;
  onFill(filled: Filled): void;
}

export function Inputs({ operation, filled, onFill }: Props) {
  const fields = fieldsOf(operation);
  if (fields.length === 0) return null;
  const fill = (name: string, value: string) => onFill({ ...filled, values: { ...filled.values, [name]: value } });
  const choose = (name: string, file: File | undefined) => file && onFill({ ...filled, files: { ...filled.files, [name]: file } });
  return (
    <div class="inputs">
      {fields.map(({ name, schema, description, required }) => (
        <label key={name}>
          <span>
            <code>{name}</code>
            {required && ' (required)'}
          </span>
          {schema.format === 'binary' ? (
            <input type="file" onChange={(e) => choose(name, e.currentTarget.files?.[0])} />
          ) : (
            <input type="text" placeholder={typeOf(schema)} value={filled.values[name] ?? ''} onInput={(e) => fill(name, e.currentTarget.value)} />
          )}
          {description && <span class="soft">{description}</span>}
        </label>
      ))}
    </div>
  );
}

function fieldsOf(operation: Operation): Field[] {
  const honoured = (schema: Schema) => !schema['x-whinchat-use'];
  const asked = (operation.parameters ?? []).filter(({ schema }) => honoured(schema));
  const parameters = asked.map(({ name, schema, description = '', required = false }) => ({ name, schema, description, required }));
  const body = bodyOf(operation);
  if (body?.media !== 'multipart/form-data') return parameters;
  const form = Object.entries(body.schema.properties ?? {}).filter(([, schema]) => honoured(schema));
  const required = body.schema.required ?? [];
  return [...parameters, ...form.map(([name, schema]) => ({ name, schema, description: schema.description ?? '', required: required.includes(name) }))];
}
