// A table whose first column is a name and whose others are numbers.

import type { ComponentChildren } from 'preact';

export interface ColumnOf<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
}

interface Props<T> {
  label: string;
  columns: ColumnOf<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
}

export function Table<T>({ label, columns, rows, keyOf }: Props<T>) {
  return (
    <div class="table" role="group" aria-label={label} tabindex={0}>
      <table>
        <thead>
          <tr>
            {columns.map(({ title }) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title, cell }, i) => (i === 0 ? <th key={title} scope="row">{cell(row)}</th> : <td key={title}>{cell(row)}</td>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
