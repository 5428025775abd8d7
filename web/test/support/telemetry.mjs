// A server that tells of engines that are made up: the dashboard's files with their real headers, and numbers that a test chooses.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

const dist = new URL('../../dist/', import.meta.url);
const page = new URL('../../../crates/serve/src/http/page.rs', import.meta.url);

const KINDS = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml' };

const FILES = { '/dashboard': 'dashboard.html', '/assets/dashboard.js': 'dashboard.js', '/assets/dashboard.css': 'dashboard.css', '/assets/icon.svg': 'icon.svg' };

/** The policy as the server has it. */
async function policy() {
  const [, text] = /const POLICY: &str = "([^"]*)";/s.exec(await readFile(page, 'utf8'));
  return text.replace(/\\\s+/g, '');
}

/** `told` is what a page is told first, `history` what is remembered. `key` is one that is asked for. */
export async function startTelemetry({ told, history, key }) {
  const headers = { 'Content-Security-Policy': await policy(), 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-cache' };
  const listeners = new Set();
  const asked = [];
  const state = { told };
  const send = (response, message) => response.write(`data: ${JSON.stringify(message)}\n\n`);
  const answers = {
    '/v1/telemetry/stream': (request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      send(response, state.told);
      listeners.add(response);
      request.on('close', () => listeners.delete(response));
    },
    '/v1/telemetry/history': (request, response) => {
      const query = new URL(request.url, 'http://a').searchParams;
      asked.push(Object.fromEntries(query));
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ engines: [after(history, Number(query.get('since')))] }));
    },
  };
  const server = createServer(async (request, response) => {
    const path = request.url.split('?')[0];
    if (FILES[path]) {
      const kind = KINDS[FILES[path].split('.').pop()];
      return response.writeHead(200, { ...headers, 'Content-Type': kind }).end(await readFile(new URL(FILES[path], dist)));
    }
    const answer = answers[path];
    if (!answer) return response.writeHead(404).end();
    if (key && request.headers.authorization !== `Bearer ${key}`) {
      return response.writeHead(401, { 'Content-Type': 'application/json' }).end(JSON.stringify({ error: { message: 'This server wants a key.' } }));
    }
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    asked,
    listeners: () => listeners.size,
    /** Tells everybody who watches; who comes later is told it too. */
    tell(message) {
      state.told = { ...state.told, ...message };
      for (const response of listeners) send(response, message);
    },
    /** Cuts everybody off. */
    cut() {
      for (const response of listeners) response.destroy();
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function after({ time, columns, values }, since) {
  const from = time.findIndex((at) => at > since);
  const cut = (list) => (from < 0 ? [] : list.slice(from));
  return { time: cut(time), columns, values: values.map(cut) };
}

/** Numbers between 0 and 1 that look like chance and are the same each time (mulberry32). */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const COLUMNS = [
  'ended', 'failed', 'running', 'waiting',
  'queue_p50', 'first_token_p50', 'first_token_p99', 'between_p50', 'between_p99', 'total_p50', 'total_p99', 'step_p50',
  'prompt_tokens', 'cached_tokens', 'generated_tokens', 'prefill_rows', 'decode_rows', 'preempted',
  'kv_used', 'kv_kept', 'busy',
];

/** When all this is: a Thursday at noon, in seconds since 1970. */
export const NOON = 1_764_244_800;

/** A day of an engine in points of ten seconds: calm at night, busy at noon, with a flood of long prompts half an hour ago. */
export function day(points = 8640, seed = 1) {
  const random = chance(seed);
  const time = Array.from({ length: points }, (_, i) => NOON - (points - 1 - i) * 10);
  const rows = time.map((at) => Object.values(point(at, random)));
  return { time, columns: COLUMNS, values: COLUMNS.map((_, column) => rows.map((row) => row[column])) };
}

function point(at, random) {
  const noise = (share) => 1 + (random() - 0.5) * share;
  const load = 0.35 + 0.3 * Math.sin(((at % 86_400) / 86_400 - 0.27) * 2 * Math.PI) ** 3 + 0.06 * Math.sin(at / 700);
  const flood = Math.exp(-(((at - NOON + 1500) / 240) ** 2));
  const ended = Math.round(400 * load * noise(0.4));
  const running = Math.round((130 * load + 30 * flood) * noise(0.2));
  const generated = Math.round(76_000 * load * (1 - 0.4 * flood) * noise(0.12));
  const prompt = Math.round((125_000 * load + 240_000 * flood) * noise(0.4));
  const cached = Math.round(prompt * 0.55 * (1 - 0.7 * flood));
  const first = (95 + 160 * load + 900 * flood) * noise(0.25);
  const between = (16 + 10 * load + 22 * flood) * noise(0.15);
  return {
    ended, failed: random() < 0.01 ? 1 : 0, running, waiting: Math.round((4 + flood * 60) * noise(1)),
    queue_p50: (4 + 300 * flood) * noise(0.6), first_token_p50: first, first_token_p99: first * (2.2 + random()),
    between_p50: between, between_p99: between * (1.8 + random() * 0.6), total_p50: between * 190 * noise(0.2), total_p99: between * 700 * noise(0.3), step_p50: between * 0.95,
    prompt_tokens: prompt, cached_tokens: cached, generated_tokens: generated, prefill_rows: prompt - cached, decode_rows: Math.round(generated * 0.67), preempted: flood > 0.6 ? Math.round(random() * 3) : 0,
    kv_used: Math.min(0.9, 0.5 + 0.7 * load * noise(0.05)), kv_kept: 0.09, busy: Math.min(1, 0.45 + 0.75 * load * noise(0.1) + 0.2 * flood),
  };
}

const quantiles = (count, p50, spread = 1) => ({ count, mean: p50 * 1.1, p50, p90: p50 * (1 + 0.7 * spread), p99: p50 * (1 + 1.8 * spread), max: p50 * (1 + 3 * spread) });

const WINDOWS = { '10s': 10, '1m': 60, '10m': 600, '1h': 3600 };

const windows = (make) => Object.entries(WINDOWS).map(([window, seconds]) => ({ window, seconds, ...make(seconds) }));

function engine(labels, speed) {
  return {
    ...labels,
    now: { running: Math.round(14 * speed), waiting: 2, stalled: 0, prefill_rows: 256, decode_rows: 14, kv: { blocks: 4096, used: Math.round(1700 * speed), kept: 380, spilled: 240, restored: 96 } },
    windows: windows((seconds) => ({
      steps: 45 * seconds, busy: 0.6 + 0.12 * speed, work: { prefill_rows: 900 * seconds, decode_rows: 820 * seconds, found: 1100 * seconds, tokens: Math.round(820 * speed) * seconds, preempted: 0 },
      rows: quantiles(45 * seconds, 18), decode: quantiles(40 * seconds, 19 / speed, 0.4), prefill: null, mixed: quantiles(5 * seconds, 46 / speed, 0.5),
    })),
  };
}

function requests(labels, tenant, share, speed) {
  return {
    ...labels, tenant,
    windows: windows((seconds) => {
      const ended = Math.round(4.2 * seconds * share * speed);
      return {
        requests: { ended, succeeded: ended - Math.round(ended * 0.01), cut: 0, aborted: Math.round(ended * 0.01), late: 0, failed: 0, preemptions: 0 },
        tokens: { prompt: ended * 480, cached: ended * 264, generated: ended * 195 },
        queue: quantiles(ended, 5), first_token: quantiles(ended, 160 / speed), between: quantiles(ended * 195, 21 / speed, 0.5), total: quantiles(ended, 4100 / speed), answer_tokens: quantiles(ended, 180), length: quantiles(ended, 640), repetition: quantiles(ended, 0.04, 0.5), quality: tenant ? null : 0.86,
      };
    }),
  };
}

/** A request that waited, was prefilled in chunks, lost its memory once, and was sent slowly. */
function flow(i, labels, random) {
  const spans = [];
  let at = 0;
  const stage = (stage, us, tokens = 0) => {
    spans.push({ stage, start_us: at, end_us: at + Math.round(us), tokens });
    at += Math.round(us);
  };
  stage('queued', (2e5 + 1.6e6 * random()) * (1 - i / 10));
  const chunks = 6 - (i % 4);
  for (let chunk = 0; chunk < chunks; chunk++) stage('prefill', 1.5e5 + 1e5 * random(), 1024);
  stage('decode', (2.4e6 + 3e6 * random()) * (1 - i / 14), 140);
  if (i % 3 === 0) {
    stage('preempted', 8e5 * random() + 3e5);
    stage('prefill', 3e5, chunks * 1024 + 140);
    stage('decode', 1.2e6, 60);
  }
  stage('sent', i === 1 ? 1.9e6 : 9e3);
  return {
    ...labels, id: `req-${(0xa11ce + i * 7919).toString(16)}`, tenant: ['acme', 'search', null, 'lab'][i % 4], reason: i === 4 ? 'length' : 'stop',
    came_ms: (NOON - 60 * i - 40) * 1000, total_us: at, prompt: chunks * 1024 + 310, cached: i % 2 ? 310 : 0, generated: i % 3 === 0 ? 200 : 140, spans,
  };
}

function foreseen(count, random) {
  const beside = (likely) => {
    const [least, most] = [likely * 0.78, likely * 1.3];
    const actual = random() < 0.06 ? most * (1.1 + random()) : least + (most - least) * (0.15 + 0.7 * random());
    return { least, likely, most, actual };
  };
  return Array.from({ length: count }, (_, i) => ({
    time_ms: (NOON - (count - i) * 4) * 1000, first_token: beside(90 + 260 * random() ** 3), total: beside(1800 + 5200 * random() ** 2),
  }));
}

/** So many engines that a busy server might have. */
export function snapshot(many = 3, seed = 7) {
  const random = chance(seed);
  const names = [['qwen3-4b', 'Q8_0', 1], ['qwen3-4b', 'Q4_K_M', 1.4], ['gemma-4-1b', '', 2.1]];
  const all = Array.from({ length: many }, (_, i) => {
    const [model, variant, speed] = names[i % names.length];
    return [{ model: i < names.length ? model : `${model}-${i}`, variant, device: 'cpu' }, speed];
  });
  const tenants = [['acme', 0.44], ['search', 0.27], ['lab', 0.12], ['app', 0.06]];
  const accuracy = (inside) => ({ requests: 1000, inside, error: 0.11, width: 0.52 });
  const [first] = all[0] ?? [];
  return {
    server: { version: '0.1.0', time_ms: NOON * 1000 + 4000, uptime_s: 93_784, own_cores: 6.3 },
    engines: all.map(([labels, speed]) => engine(labels, speed)),
    series: all.flatMap(([labels, speed]) => [requests(labels, null, 1, speed), ...tenants.map(([name, share]) => requests(labels, name, share, speed))]),
    predictions: all.map(([labels]) => ({ ...labels, first_token: accuracy(0.94), total: accuracy(0.92), recent: foreseen(40, random) })),
    slowest: many > 0 ? Array.from({ length: 8 }, (_, i) => flow(i, first, random)).sort((a, b) => b.total_us - a.total_us) : [],
    anomalies: many > 0 ? anomalies(first) : [],
    recommendations: many > 0 ? [advice(first)] : [],
    correlations: many > 1 ? [{ one: all[0][0], other: all[1][0], coefficient: 0.87, points: 360 }] : [],
    cores: Array.from({ length: 8 }, (_, core) => ({ core, busy: core < 6 ? 0.85 + 0.15 * random() : 0.2 * random() })),
    faults: [],
    releases: many > 0 ? releases(random) : [],
  };
}

/** One that goes on, and one that was rolled back. */
function releases(random) {
  const plan = { stages: [0.1, 0.25, 0.5, 1].map((share) => ({ share, min_time_s: 300, min_samples: 200 })), shadow: { share: 0.1 } };
  let evidence = 1;
  const calm = Array.from({ length: 90 }, (_, i) => [i * 5, (evidence *= 0.93 + 0.135 * random())]);
  const harm = Array.from({ length: 40 }, (_, i) => [i * 2, 1.02 ** i * (i > 25 ? 1.2 ** (i - 25) : 1)]);
  const common = { route: 'chat', stable: 'qwen3-4b@1', plan, durable: true, keep_stable: true, created: NOON - 450 };
  const shadow = { compared: 120, exact: 96, sentence: 'alike: 0.70 to 0.87 of 120 answers are the same, 0.0041 nats per token of divergence on average, 0.0500 are accepted' };
  return [
    {
      ...common, id: 'rel_a11ce', name: 'Q4_K_M for chat', candidate: 'qwen3-4b@q4', state: 'running', verdict: null, why: null, ended: null,
      stage: 1, share: 0.25, stage_s: 132.4, evidence: { now: calm.at(-1)[1], ends_at: 20 }, units: { stable: 614, candidate: 197 },
      requests: { stable: { ended: 2911, failed: 4 }, candidate: { ended: 412, failed: 0, fallbacks: 1 } },
      waits_for: ['168 s more of this stage', 'the candidate has answered 197 of 200 units'], shadow,
      sentence: '25 % to the candidate for 132 s: 197 units of it, 614 of the stable variant, evidence of harm 1.1 of 20.', evidence_over_time: calm,
    },
    {
      ...common, id: 'rel_b0b', name: '', route: 'summary', candidate: 'gemma-4-1b@q2', stable: 'gemma-4-1b@1', state: 'ended', verdict: 'rolled_back', ended: NOON - 900,
      why: 'failures: 6 of 71 of the candidate, 5 of 640 of the stable variant; evidence 24, at 20 it ends', stage: 0, share: 0, stage_s: 80,
      evidence: { now: harm.at(-1)[1], ends_at: 20 }, units: { stable: 640, candidate: 71 },
      requests: { stable: { ended: 640, failed: 5 }, candidate: { ended: 71, failed: 6, fallbacks: 6 } },
      waits_for: [], shadow: null, sentence: 'Rolled back.', durable: false, evidence_over_time: harm,
    },
  ];
}

function anomalies(labels) {
  return [
    {
      ...labels, id: 12, symptom: 'slow_steps', cause: 'core_taken', message: 'Another process takes 1.9 cores: steps of 14 rows take 31 ms instead of 19 ms.',
      since_ms: (NOON - 50) * 1000, until_ms: null, evidence: [{ name: 'step_time_over_expected', value: 1.63, usual: 1, unit: '' }, { name: 'cores_used_by_others', value: 1.9, usual: 0.1, unit: '' }],
    },
    {
      ...labels, id: 11, symptom: 'slow_first_tokens', cause: 'long_prompts', message: 'Prompts are twelve times as long as usual: requests wait for their prefill.',
      since_ms: (NOON - 1620) * 1000, until_ms: (NOON - 1270) * 1000, evidence: [{ name: 'prompt_tokens', value: 24_000, usual: 2016, unit: '/s' }, { name: 'cache_hit_share', value: 0.16, usual: 0.55, unit: '' }],
    },
  ];
}

const advice = (labels) => ({
  ...labels, setting: '--max-sequences', value: '24', reason: 'In the last hour 16 sequences ran and 3 waited on average, while the KV cache was 45 % used.',
  gain: { of: 'throughput', share: 0.18 }, command: 'whinchat bench --batch 16,24 --generate 64',
});
