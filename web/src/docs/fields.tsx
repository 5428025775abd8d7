// The fields of a body: those that are honoured, and, for who asks, those that are not.

import { typeOf, type Schema } from './document.ts';

interface Row {
  name: string;
  schema: Schema;
}

export function Fields({ schema }: { schema: Schema }) {
  const rows = rowsOf(schema, '');
  const honoured = rows.filter((row) => !row.schema['x-whinchat-use']);
  const others = rows.filter((row) => row.schema['x-whinchat-use']);
  return (
    <>
      <details class="fields">
        <summary>Fields ({honoured.length})</summary>
        <Table rows={honoured} required={schema.required ?? []} />
      </details>
      {others.length > 0 && (
        <details class="fields">
          <summary>Fields that are refused or ignored ({others.length})</summary>
          <Table rows={others} required={[]} />
        </details>
      )}
    </>
  );
}

/** Fields, and those within them. */
function rowsOf({ properties = {} }: Schema, path: string): Row[] {
  return Object.entries(properties).flatMap(([name, schema]) => [{ name: path + name, schema }, ...rowsOf(schema, `${path}${name}.`)]);
}

function Table({ rows, required }: { rows: Row[]; required: string[] }) {
  return (
    <div class="scrolled" tabIndex={0} role="region" aria-label="Fields">
      <table>
        <thead>
          <tr>
            <th scope="col">Field</th>
            <th scope="col">Type</th>
            <th scope="col">Meaning</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, schema }) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
                {required.includes(name) && <span aria-hidden="true"> *</span>}
              </th>
              <td>{schema['x-whinchat-use'] ? '' : typeOf(schema)}</td>
              <td>{schema.description}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
