// The icons, drawn as lines on a grid of 24. They are decoration: what carries them has a label.

const PATHS = {
  menu: 'M4 7h16M4 12h16M4 17h16',
  plus: 'M12 5v14M5 12h14',
  send: 'M12 19V5M6 11l6-6 6 6',
  copy: 'M9 9h10v10H9zM15 9V5H5v10h4',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  retry: 'M19.5 12a7.5 7.5 0 1 1-2.2-5.3M20 3.5V8h-4.5',
  resume: 'M5 12h13M12.5 6.5L18 12l-5.5 5.5',
  trash: 'M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5',
  settings: 'M4 7h9M19 7h1M4 17h2M12 17h8M16 4.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5M9 14.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5',
  more: 'M6 12h.01M12 12h.01M18 12h.01',
  close: 'M6 6l12 12M18 6L6 18',
  left: 'M14.5 6l-6 6 6 6',
  right: 'M9.5 6l6 6-6 6',
  down: 'M12 5v14M6 13l6 6 6-6',
  sun: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5',
  system: 'M4 5h16v11H4zM9 20h6M12 16v4',
  keyboard: 'M3 6.5h18v11H3zM7 10h.01M10.3 10h.01M13.7 10h.01M17 10h.01M8 14h8',
  download: 'M12 4v11M7 10.5l5 5 5-5M5 20h14',
  tool: 'M14.5 6.5a4 4 0 0 1 5-1.8l-2.6 2.6 2.1 2.1 2.6-2.6a4 4 0 0 1-5.4 4.9L9 19a2.1 2.1 0 0 1-3-3l7.3-7.2a4 4 0 0 1 1.2-2.3',
  thought: 'M9 18.5h6M10 21h4M12 3a6 6 0 0 0-3.5 10.9c.6.5 1 1.2 1 2v.1h5v-.1c0-.8.4-1.5 1-2A6 6 0 0 0 12 3',
  help: 'M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17M9.6 9.4a2.5 2.5 0 1 1 3.6 2.4c-.8.4-1.2.9-1.2 1.7M12 16.5h.01',
  chart: 'M4 4v16h16M8 16v-4M12 16V8M16 16v-6',
  alert: 'M12 4L2.8 19.5h18.4zM12 10v4.5M12 17h.01',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** A whinchat: pale brow over a dark cheek, orange breast. */
export function Bird() {
  return (
    <svg class="bird" viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      <path class="bird-leg" d="M30 50v8M37 49.5v8.5" />
      <path class="bird-tail" d="M18 41L3 52l16-2.5z" />
      <path class="bird-body" d="M13 39C13 23 24 11 37.500 11c8 0 14 5.500 14.500 13C52.600 37 43 51 30 51c-9 0-17-4.500-17-12z" />
      <path class="bird-breast" d="M51.800 26c-.4 12.500-9.800 25-21.800 25-3 0-5.900-.5-8.400-1.500C34 48 38.500 36 41 27.500z" />
      <path class="bird-wing" d="M14 38c1.500-8 8-13.500 15.500-13.500C32 35 25 45 15.500 44.500 14.400 42.700 13.800 40.500 14 38z" />
      <path class="bird-brow" d="M34 16.500c5-3 11.500-2.500 15.500 1" />
      <circle class="bird-eye" cx="43" cy="21.500" r="2.400" />
      <path class="bird-bill" d="M51.700 20.500L60 24l-8 2.800z" />
    </svg>
  );
}
