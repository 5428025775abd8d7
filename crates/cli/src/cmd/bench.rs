//! `whinchat bench`: how fast prefill and decode are, on the executor alone.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use clap::builder::PossibleValuesParser;
use engine::Executor;
use graph::{Adapted, Batch};
use serde_json::json;
use whinchat::{Adapter, BLOCK_LEN, CacheOptions, LoadOptions, PlanOptions, bounds};

use super::trial::TrialArgs;
use super::{LoadArgs, within};
use crate::terminal::Bars;

/// Measure speed: prefill and decode, for one or several streams
///
/// For each number of streams: prompts of random tokens are prefilled, then tokens are decoded. The figures are tokens per second
/// over all streams, of the engine alone. With --try two engines answer the same clients in turn, and what the second does better
/// is said with how sure that is.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat bench --model org/name --batch 1
  whinchat bench --prompt 512 --generate 64 --batch 1,8,32 --json
  whinchat bench --model org/name --try max-sequences=64 --clients 64
  whinchat bench --try kv-type=q8_0,threads=4 --with max-sequences=16 --rounds 10")]
#[command(mut_arg("context", |arg| arg.help("Longest sequence the model is prepared for [default: prompt and generated tokens]")))]
pub(crate) struct Bench {
    #[command(flatten)]
    load: LoadArgs,
    /// Tokens in each prompt.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = within(bounds::CONTEXT))]
    prompt: usize,
    /// Tokens to generate in each stream.
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = within(bounds::CONTEXT))]
    generate: usize,
    /// Numbers of streams.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,8,32", value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,
    /// Compute streams with this LoRA adapter, or in turn with each of several (docs/lora.md).
    #[arg(long, value_name = "PATH")]
    lora: Vec<PathBuf>,
    /// Compute the graph as it is built, without any rule of fusion.
    #[arg(long, conflicts_with = "disable_rule")]
    no_fusion: bool,
    /// Do not apply this rule of fusion (inspect --graph lists them).
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(rules()))]
    disable_rule: Vec<String>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trial: TrialArgs,
}

/// The names of all rules of fusion.
fn rules() -> impl Iterator<Item = &'static str> {
    kernels::Cpu::DEVICE.rules.iter().map(|rule| rule.name)
}

/// What a number of streams gave, in tokens per second over all of them.
struct Figures {
    prefill: f64,
    decode: f64,
}

/// What is measured.
struct Rig {
    executor: Box<dyn Executor>,
    adapters: Vec<Arc<Adapter>>,
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.trial.is_asked() {
            return self.trial.run(&self.load, [self.prompt, self.generate], self.json);
        }
        let streams = self.batch.iter().copied().max().unwrap_or(1) as usize;
        let context = self.length().max(self.load.context.unwrap_or(0));
        let own = self.load.options();
        let options = LoadOptions {
            context: Some(context),
            max_sequences: Some(streams),
            cache: CacheOptions {
                kv_tokens: Some((streams * self.length().next_multiple_of(BLOCK_LEN)).max(context)),
                ..own.cache
            },
            plan: PlanOptions { disabled_rules: self.disabled_rules(), ..own.plan.clone() },
            ..own
        };
        let bars = Bars::new();
        let prepared = self.load.prepare(&options)?;
        prepared.check_continues()?;
        let adapter = |path: &PathBuf| prepared.adapter(path).map(Arc::new).context("--lora");
        let adapters = self.lora.iter().map(adapter).collect::<anyhow::Result<_>>()?;
        let executor = prepared.executor(&|stage, done, total| bars.show(stage, done, total))?;
        let mut rig = Rig { executor, adapters };
        self.measure(&mut rig, 1)?;
        let mut out = std::io::stdout().lock();
        if !self.json {
            writeln!(out, "{:>7} {:>14} {:>14}", "streams", "prefill tok/s", "decode tok/s")?;
        }
        for &streams in &self.batch {
            let figures = self.measure(&mut rig, streams as usize)?;
            self.report(&mut out, streams, &figures, prepared.threads())?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn trial(&self) -> &TrialArgs {
        &self.trial
    }

    #[cfg(test)]
    pub(super) fn load(&self) -> &LoadArgs {
        &self.load
    }

    fn report(&self, out: &mut impl Write, streams: u32, figures: &Figures, threads: usize) -> std::io::Result<()> {
        let Figures { prefill, decode } = figures;
        if !self.json {
            return writeln!(out, "{streams:>7} {prefill:>14.1} {decode:>14.1}");
        }
        let line = json!({
            "prompt_tokens": self.prompt, "generate_tokens": self.generate, "batch": streams, "threads": threads,
            "prefill_tok_s": prefill, "decode_tok_s": decode, "peak_rss_bytes": peak_rss_bytes(),
        });
        writeln!(out, "{line}")
    }

    fn disabled_rules(&self) -> Vec<String> {
        if self.no_fusion { rules().map(str::to_owned).collect() } else { self.disable_rule.clone() }
    }

    /// Tokens of a stream at its end.
    fn length(&self) -> usize {
        self.prompt + self.generate
    }

    fn measure(&self, rig: &mut Rig, streams: usize) -> anyhow::Result<Figures> {
        let (prompt, generate) = (self.prompt, self.generate);
        let prefill = self.prefill(rig, streams, prompt)?;
        let started = Instant::now();
        let mut batch = Batch::default();
        for position in prompt..prompt + generate {
            batch.clear();
            for stream in 0..streams {
                self.push(&mut batch, rig, stream, position..position + 1);
                batch.outputs.push(stream as u32);
            }
            rig.executor.forward(&batch)?;
        }
        let rate = |tokens: usize, time: Duration| (streams * tokens) as f64 / time.as_secs_f64();
        Ok(Figures { prefill: rate(prompt, prefill), decode: rate(generate, started.elapsed()) })
    }

    /// Prefills every stream in batches as large as the executor takes.
    fn prefill(&self, rig: &mut Rig, streams: usize, prompt: usize) -> anyhow::Result<Duration> {
        let limits = rig.executor.limits();
        let started = Instant::now();
        let mut batch = Batch::default();
        for stream in 0..streams {
            let mut position = 0;
            while position < prompt {
                let end = prompt.min(position + limits.max_tokens - batch.tokens.len());
                self.push(&mut batch, rig, stream, position..end);
                position = end;
                if position == prompt {
                    batch.outputs.push(batch.tokens.len() as u32 - 1);
                }
                let last = stream + 1 == streams && position == prompt;
                if last || batch.tokens.len() == limits.max_tokens || batch.outputs.len() == limits.max_outputs {
                    rig.executor.forward(&batch)?;
                    batch.clear();
                }
            }
        }
        Ok(started.elapsed())
    }

    fn push(&self, batch: &mut Batch, rig: &Rig, stream: usize, positions: std::ops::Range<usize>) {
        let limits = rig.executor.limits();
        let blocks = self.length().div_ceil(limits.block_len) as u32;
        let first = stream as u32 * blocks;
        let token = |position: usize| ((stream * 7919 + position * 104_729) % limits.vocab) as u32;
        let start = positions.start;
        let tokens: Vec<u32> = positions.map(token).collect();
        let state = (limits.state_slots > 0).then_some(stream as u32);
        let rows = batch.push_with_state(&tokens, start, first..first + blocks, state);
        let adapter = rig.adapters.get(stream % rig.adapters.len().max(1));
        batch.adapters.extend(adapter.map(|adapter| Adapted { rows, adapter: Arc::clone(adapter) }));
    }
}

/// The most memory this process ever had; 0 where the system does not say.
pub(super) fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() * 1024
}
