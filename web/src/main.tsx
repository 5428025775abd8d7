// Starts the page. It runs before the page is drawn, so that the chosen theme is there from the first moment.

import './state/page.ts';
import './styles/index.css';
import { render } from 'preact';
import { App } from './components/app.tsx';

addEventListener('DOMContentLoaded', () => {
  const root = document.getElementById('root');
  if (root) render(<App />, root);
});
