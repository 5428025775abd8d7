// What is shown before anything is said.

import { send } from '../state/answers.ts';
import { model, plain } from '../state/server.ts';
import { Bird } from './icons.tsx';

const EXAMPLES = ['Who are you?', 'What is 27 + 45?', 'Tell me a short story about a fox.', 'Spell the word garden.'];
const BEGINNINGS = ['Once upon a time,', 'The capital of France is', 'Dear Sir or Madam,', 'def fibonacci(n):'];

export function Empty() {
  return (
    <div class="empty">
      <Bird />
      <h1>{plain.value ? 'How does the text begin?' : 'What shall we talk about?'}</h1>
      <p>
        {model.value ?? 'The model'} {plain.value ? 'goes on' : 'answers'} from this server. What you write goes nowhere else, and conversations are
        kept in this browser.
      </p>
      <ul>
        {(plain.value ? BEGINNINGS : EXAMPLES).map((text) => (
          <li key={text}>
            <button type="button" class="example" onClick={() => send(text)}>
              {text}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
