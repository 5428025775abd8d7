// The answers that a call may get, by status.

import { partOf, typeOf, type Operation } from './document.ts';

export function Responses({ operation }: { operation: Operation }) {
  return (
    <details class="fields">
      <summary>Answers</summary>
      <dl class="statuses">
        {Object.entries(operation.responses).map(([status, { description, content = {} }]) => (
          <div key={status}>
            <dt>{status}</dt>
            <dd>
              {description}
              {Object.entries(content).map(([media, { schema }]) => (
                <span class="soft" key={media}>
                  {media}: {typeOf(partOf(schema))}
                </span>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
