// Builds the pages into dist/, which is committed; with --check it only tells whether dist/ is what would be built.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

const here = (path) => new URL(path, import.meta.url);

/**
 * Each script: where it begins, its form, and whose code is bundled in it. What draws formulas is a module of its own, since most answers have none;
 * what draws charts is in the dashboard alone.
 */
const SCRIPTS = [
  { entry: { app: 'src/main.tsx' }, format: 'iife', libraries: ['preact', '@preact/signals', '@preact/signals-core'] },
  { entry: { math: 'src/math.ts' }, format: 'esm', libraries: ['temml'] },
  { entry: { dashboard: 'src/dashboard.tsx' }, format: 'iife', libraries: ['preact', '@preact/signals', '@preact/signals-core', 'uplot'] },
  { entry: { docs: 'src/docs.tsx' }, format: 'iife', libraries: ['preact', '@preact/signals', '@preact/signals-core'] },
];

/** The licences of what is bundled travel with it: whose each is, and each text once. */
async function notices(libraries) {
  const holders = new Map();
  for (const name of libraries) {
    const text = (await readFile(here(`node_modules/${name}/LICENSE`), 'utf8')).trim().replaceAll('\r\n', '\n');
    const owner = /^Copyright .*$/m.exec(text)?.[0];
    if (!owner) throw new Error(`the licence of ${name} names no holder`);
    const terms = text.replace(`${owner}\n\n`, '');
    holders.set(terms, [...(holders.get(terms) ?? []), `${name}: ${owner}`]);
  }
  return `/*\n${[...holders].map(([terms, owners]) => `${owners.join('\n')}\n\n${terms}`).join('\n\n')}\n*/`;
}

/** Temml's style without the font that it would load: the system's will do. */
const withoutFont = {
  name: 'without-font',
  setup: ({ onLoad }) =>
    onLoad({ filter: /Temml-Local\.css$/ }, async ({ path }) => {
      const contents = (await readFile(path, 'utf8')).replace(/@font-face\s*\{[^}]*\}/, '');
      return { contents, loader: 'css' };
    }),
};

async function script({ entry, format, libraries }) {
  const { outputFiles } = await build({
    absWorkingDir: here('.').pathname,
    entryPoints: entry,
    outdir: 'dist',
    bundle: true,
    minify: true,
    write: false,
    format,
    external: ['./math.js'],
    plugins: [withoutFont],
    target: ['es2023', 'chrome123', 'firefox125', 'safari17.5'],
    charset: 'utf8',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    banner: { js: await notices(libraries) },
  });
  return outputFiles;
}

async function built() {
  const outputFiles = (await Promise.all(SCRIPTS.map(script))).flat();
  const files = Object.fromEntries(outputFiles.map((file) => [file.path.split(/[\\/]/).pop(), file.text]));
  for (const name of ['index.html', 'dashboard.html', 'docs.html', 'icon.svg']) files[name] = await readFile(here(`src/${name}`), 'utf8');
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
