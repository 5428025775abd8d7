// Modules of the page for tests without a browser: TypeScript is bundled in memory and imported.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export async function load(path) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../../src/${path}`, import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    logLevel: 'error',
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}
