// Builds the page into dist/, which is committed; with --check it only tells whether dist/ is what would be built.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

const here = (path) => new URL(path, import.meta.url);
const LIBRARIES = ['preact', '@preact/signals', '@preact/signals-core'];

/** The licences of what is bundled travel with it: whose each is, and each text once. */
async function notices() {
  const holders = new Map();
  for (const name of LIBRARIES) {
    const text = (await readFile(here(`node_modules/${name}/LICENSE`), 'utf8')).trim();
    const owner = /^Copyright .*$/m.exec(text)?.[0];
    if (!owner) throw new Error(`the licence of ${name} names no holder`);
    const terms = text.replace(`${owner}\n\n`, '');
    holders.set(terms, [...(holders.get(terms) ?? []), `${name}: ${owner}`]);
  }
  return `/*\n${[...holders].map(([terms, owners]) => `${owners.join('\n')}\n\n${terms}`).join('\n\n')}\n*/`;
}

async function built() {
  const { outputFiles } = await build({
    absWorkingDir: here('.').pathname,
    entryPoints: { app: 'src/main.tsx' },
    outdir: 'dist',
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: ['es2023', 'chrome123', 'firefox125', 'safari17.5'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    banner: { js: await notices() },
  });
  const files = Object.fromEntries(outputFiles.map((file) => [file.path.split(/[\\/]/).pop(), file.text]));
  files['index.html'] = await readFile(here('src/index.html'), 'utf8');
  files['icon.svg'] = await readFile(here('src/icon.svg'), 'utf8');
  return files;
}

/** The names of files in dist/ that differ from what was built, or should not be there. */
async function different(files) {
  const committed = await readdir(here('dist/')).catch(() => []);
  const names = [...new Set([...committed, ...Object.keys(files)])];
  const same = (name) => readFile(here(`dist/${name}`), 'utf8').then((text) => text === files[name], () => false);
  const answers = await Promise.all(names.map(same));
  return names.filter((_, i) => !answers[i]);
}

const files = await built();
if (process.argv.includes('--check')) {
  const names = await different(files);
  if (names.length > 0) {
    console.error(`web/dist is not what web/src builds: ${names.join(', ')}. Run \`npm run build\` in web/ and commit it.`);
    process.exit(1);
  }
  console.log('web/dist is what web/src builds');
} else {
  await mkdir(here('dist/'), { recursive: true });
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(here(`dist/${name}`), text)));
  for (const [name, text] of Object.entries(files)) console.log(`${name} ${Buffer.byteLength(text)} bytes`);
}
