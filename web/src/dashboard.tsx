// Starts the dashboard. It runs before the page is drawn, so that the chosen theme is there from the first moment.

import './state/page.ts';
import './styles/dashboard.css';
import { render } from 'preact';
import { Dashboard } from './dashboard/dashboard.tsx';
import { connect } from './telemetry/store.ts';

addEventListener('DOMContentLoaded', () => {
  const root = document.getElementById('root');
  if (!root) return;
  render(<Dashboard />, root);
  connect();
});
