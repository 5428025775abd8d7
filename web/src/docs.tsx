// Starts the page to try calls. It runs before the page is drawn, so that the chosen theme is there from the first moment.

import './state/page.ts';
import './styles/docs.css';
import { render } from 'preact';
import { Docs } from './docs/page.tsx';
import { load } from './docs/store.ts';

addEventListener('DOMContentLoaded', () => {
  const root = document.getElementById('root');
  if (!root) return;
  render(<Docs />, root);
  void load();
});
