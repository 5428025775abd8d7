// A real `whinchat serve` for tests, on a free port.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The program: WHINCHAT_BIN, else what `cargo build -p whinchat-cli` made. */
const program = process.env.WHINCHAT_BIN ?? `${root}target/debug/whinchat`;

/** A model of random numbers that says gibberish; enough for all that is not about what is said. */
export const TINY = `${root}tests/data/tiny`;

/** Starts a server and waits until it is ready. Without a model it is the built-in one. */
export async function startServer({ model, args = [] } = {}) {
  if (!existsSync(program)) throw new Error(`${program} is not there: cargo build -p whinchat-cli`);
  const flags = ['serve', '--listen', '127.0.0.1:0', ...(model ? ['--model', model] : []), ...args];
  const child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, WHINCHAT_LOG: 'info' } });
  let said = '';
  let address;
  const ready = new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stderr });
    lines.on('line', (line) => {
      said += `${line}\n`;
      address ??= /listening on (http:\/\/\S+)/.exec(line)?.[1];
      if (line.includes('is ready')) resolve(address);
    });
    child.once('exit', (code) => reject(new Error(`whinchat ended with ${code}:\n${said}`)));
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  return {
    address: await ready,
    log: () => said,
    /** Ends it; a second time does nothing. */
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
