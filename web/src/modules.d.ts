// What the build takes besides TypeScript.

declare module '*.css';

declare module 'temml/temml.js' {
  const temml: { render(tex: string, into: HTMLElement, options: object): void };
  export default temml;
}

/** What math.ts becomes. */
declare module '*/math.js' {
  export { draw } from './math.ts';
}
