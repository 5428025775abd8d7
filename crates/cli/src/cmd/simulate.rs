//! `whinchat simulate`: what the engine would do with a trace of requests.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value, json};
use whinchat::{BLOCK_LEN, EngineConfig, Eviction, LoadOptions, PolicyName};

use crate::simulate::cost::Cost;
use crate::simulate::figures::{self, Goal};
use crate::simulate::lookups::look_up;
use crate::simulate::measure::measure;
use crate::simulate::plot;
use crate::simulate::replay::{Setup, replay};
use crate::simulate::trace::{self, Job, Random};
use crate::terminal::Bars;

/// Replay a trace of requests: who runs when, what the KV cache finds, how long everybody waits
///
/// The scheduler and the KV cache are those that serve; only the computing is left out, and time is a number. How long a step
/// takes is said by --cost, or measured. Each policy is simulated with each rule of eviction.
#[derive(Args)]
#[command(
    after_help = "Traces are JSON lines of Mooncake (timestamp in ms, input_length, output_length, hash_ids, one for each 512
tokens) or Azure's CSV (TIMESTAMP,ContextTokens,GeneratedTokens). Of answers nothing is found again: traces do not say who
goes on from them.

Examples:
  whinchat simulate --trace conversation.jsonl --policy first-come,shortest-prefill --speed 0.1
  whinchat simulate --trace conversation.jsonl --cache-only --block 512 --kv-blocks 10000 --eviction lru,s3-fifo
  whinchat simulate --random 1000 --measure org/name --rate 0.5
  whinchat simulate --random 100000 --rate 5 --policy all --plot first-token.svg"
)]
pub(crate) struct Simulate {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Who runs first: names with commas between, or all.
    #[arg(long, value_name = "NAME,…", default_value = PolicyName::default().name(), value_delimiter = ',',
          value_parser = PossibleValuesParser::new(PolicyName::ALL.map(PolicyName::name).into_iter().chain(["all"])))]
    policy: Vec<String>,
    /// What the KV cache forgets first: names with commas between, all, or none (nothing is kept).
    #[arg(long, value_name = "RULE,…", default_value = Eviction::default().name(), value_delimiter = ',',
          value_parser = PossibleValuesParser::new(Eviction::ALL.map(Eviction::name).into_iter().chain(["all", "none"])))]
    eviction: Vec<String>,
    /// An answer counts for the goodput if its first token came within so many milliseconds …
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    goal_first_ms: u64,
    /// … and each further one within so many.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    goal_between_ms: u64,
    /// Only look prompts up in the KV cache, whole and one after the other, as if computing took no time.
    #[arg(long)]
    cache_only: bool,
    /// Foretell each first token when its request comes, as serve does, and say how far that was off.
    #[arg(long, conflicts_with = "cache_only")]
    predict: bool,
    /// Check the scheduler's books after each step.
    #[arg(long)]
    check: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Draw how the times to the first token are distributed, as SVG.
    #[arg(long, value_name = "FILE", conflicts_with = "cache_only")]
    plot: Option<PathBuf>,
}

/// The requests.
#[derive(Args)]
struct LoadArgs {
    /// The trace.
    #[arg(long, value_name = "FILE", required_unless_present = "random", conflicts_with = "random")]
    trace: Option<PathBuf>,
    /// So many requests by chance instead, of all lengths.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    random: Option<u32>,
    /// Requests a second of those by chance.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive)]
    rate: f64,
    /// What is left to chance is the same for equal seeds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Only the first requests of the trace.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// The trace so many times, one after the other.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// How fast the requests come: 2 is twice as fast as in the trace.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = positive)]
    speed: f64,
    /// Tokens that clients allow an answer, if it is not longer: nobody knows before that it ends earlier [default: its length]
    #[arg(long, value_name = "TOKENS", default_value_t = 0, hide_default_value = true)]
    max_tokens: u32,
    /// This share of the clients leaves before the answer is complete.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    cancel: f64,
    /// Every so many steps the executor fails.
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(2..))]
    fault_every: Option<u64>,
}

/// What serves them.
#[derive(Args)]
struct EngineArgs {
    /// Blocks of the KV cache, or unlimited.
    #[arg(long, value_name = "N", default_value = "8192", value_parser = blocks)]
    kv_blocks: usize,
    /// Positions in a block.
    #[arg(long, value_name = "N", default_value_t = BLOCK_LEN as u32, value_parser = clap::value_parser!(u32).range(1..=65536))]
    block: u32,
    /// Rows of a step at most.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_batch_tokens: u32,
    /// Sequences running at once at most.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_sequences: u32,
    /// Requests that wait at most; more are refused [default: no bound]
    #[arg(long, value_name = "N")]
    queue: Option<u32>,
    /// Milliseconds that a step may take in which somebody is answered.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    max_step_ms: Option<u64>,
    /// Microseconds of a step, of a row of a prompt, of a row that decodes, and of a thousand positions that attention reads.
    #[arg(long, value_name = "STEP,PREFILL,DECODE,CONTEXT", default_value = "5000,100,500,2")]
    cost: Cost,
    /// By which share of it the time of a step is off, more or less.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    noise: f64,
    /// Measure the costs of steps instead: with this model, on this machine, for at most 20 seconds.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["cost", "cache_only"])]
    measure: Option<OsString>,
}

/// Blocks at most, so that their books fit the memory.
const MOST_BLOCKS: usize = 1 << 26;

impl Simulate {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let jobs = self.load.jobs()?;
        let prompts: Vec<usize> = jobs.iter().map(|job| job.prompt).collect();
        let goal =
            Goal { first: Duration::from_millis(self.goal_first_ms), gap: Duration::from_millis(self.goal_between_ms) };
        let blocks = self.engine.blocks(&jobs)?;
        let cost = self.engine.cost()?;
        let (mut lines, mut curves) = (Vec::new(), Vec::new());
        let rules = chosen(&self.eviction, Eviction::ALL, Eviction::named);
        let policies =
            if self.cache_only { vec![None] } else { chosen(&self.policy, PolicyName::ALL, PolicyName::named) };
        for policy in policies {
            for &rule in &rules {
                let figures = match policy {
                    Some(policy) => {
                        let replayed = replay(&jobs, &self.setup(policy, rule, (blocks, cost)))?;
                        let name = format!("{}, {}", policy.name(), rule.map_or("none", Eviction::name));
                        curves.push((name, figures::firsts(&replayed.outcomes)));
                        figures::of(&replayed, &prompts, goal)
                    }
                    None => {
                        let rule = rule.context("--cache-only needs a rule of --eviction")?;
                        figures::of_lookups(look_up(&jobs, blocks, self.engine.block as usize, rule)?)
                    }
                };
                lines.push(named(policy, rule, figures));
                self.say(&lines, false)?;
            }
        }
        self.say(&lines, true)?;
        if let Some(path) = &self.plot {
            let picture = plot::svg(&curves)?;
            std::fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn setup(&self, policy: PolicyName, prefix_cache: Option<Eviction>, (blocks, cost): (usize, Cost)) -> Setup {
        let config = EngineConfig { policy, prefix_cache, ..self.engine.config() };
        let block_len = self.engine.block as usize;
        let (foretells, noise, fault_every) = (self.predict, self.engine.noise, self.load.fault_every);
        let max_tokens = self.load.max_tokens as usize;
        Setup { config, block_len, blocks, cost, noise, max_tokens, foretells, fault_every, check: self.check }
    }

    /// Says a line as soon as it is known, or the table when all are.
    fn say(&self, lines: &[Map<String, Value>], all: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match (self.json, all, lines.last()) {
            (true, false, Some(line)) => writeln!(out, "{}", Value::Object(line.clone())),
            (false, true, _) => writeln!(out, "{}", figures::table(lines)),
            _ => Ok(()),
        }
    }
}

impl LoadArgs {
    fn jobs(&self) -> anyhow::Result<Vec<Job>> {
        let mut jobs = match (&self.trace, self.random) {
            (Some(path), _) => trace::read(path)?,
            (None, requests) => {
                Random { requests: requests.unwrap_or(1) as usize, rate: self.rate, seed: self.seed }.jobs()
            }
        };
        jobs.truncate(self.limit.map_or(usize::MAX, |limit| limit as usize));
        let once = jobs.len();
        ensure!(once * self.repeat as usize <= u32::MAX as usize / 2, "--repeat {}: too many requests", self.repeat);
        let length = jobs.last().map_or(Duration::ZERO, |job| job.arrives) + Duration::from_secs(1);
        for round in 1..self.repeat {
            let again = |job: &Job| Job { arrives: job.arrives + length * round, ..job.clone() };
            let next: Vec<Job> = jobs[..once].iter().map(again).collect();
            jobs.extend(next);
        }
        trace::cancel(&mut jobs, self.cancel, self.seed);
        jobs.iter_mut().for_each(|job| job.arrives = job.arrives.div_f64(self.speed));
        Ok(jobs)
    }
}

impl EngineArgs {
    /// Blocks of the cache; all that the requests could ever fill, where there is no limit.
    fn blocks(&self, jobs: &[Job]) -> anyhow::Result<usize> {
        if self.kv_blocks != usize::MAX {
            return Ok(self.kv_blocks);
        }
        let block = self.block as usize;
        let of = |job: &Job| (job.prompt.next_multiple_of(trace::SPAN) + job.output).div_ceil(block);
        let all = jobs.iter().map(of).sum::<usize>() + self.max_sequences as usize;
        ensure!(
            all <= MOST_BLOCKS,
            "--kv-blocks unlimited: the trace fills {all} blocks of {block}, {MOST_BLOCKS} is the most; larger ones (--block) \
             or fewer requests (--limit) fit"
        );
        Ok(all)
    }

    /// How long steps take: as told, or as measured.
    fn cost(&self) -> anyhow::Result<Cost> {
        let Some(source) = &self.measure else { return Ok(self.cost) };
        let config = self.config();
        let options = LoadOptions {
            max_batch_tokens: Some(config.max_batch_tokens),
            max_sequences: Some(config.max_sequences),
            ..LoadOptions::default()
        };
        let prepared = whinchat::prepare(super::open(source)?, &options)?;
        let bars = Bars::new();
        let executor = prepared.executor(&|stage, done, total| bars.show(stage, done, total))?;
        let cost = measure(executor, config, prepared.context)?;
        eprintln!("measured: {cost}");
        Ok(cost)
    }

    fn config(&self) -> EngineConfig {
        EngineConfig {
            max_batch_tokens: self.max_batch_tokens as usize,
            max_sequences: self.max_sequences as usize,
            max_queue: self.queue.map_or(usize::MAX, |queue| queue as usize),
            max_step: self.max_step_ms.map(Duration::from_millis),
            ..EngineConfig::default()
        }
    }
}

/// A line with the names of what it is about in front.
fn named(policy: Option<PolicyName>, rule: Option<Eviction>, figures: Map<String, Value>) -> Map<String, Value> {
    let names = [("policy", policy.map(PolicyName::name)), ("eviction", rule.map(Eviction::name))];
    let names = names.into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
    names.chain(figures).collect()
}

/// What is meant by names: all of them, or none.
fn chosen<T: Copy, const N: usize>(names: &[String], all: [T; N], named: fn(&str) -> Option<T>) -> Vec<Option<T>> {
    let of = |name: &String| match name.as_str() {
        "all" => all.map(Some).to_vec(),
        name => vec![named(name)],
    };
    names.iter().flat_map(of).collect()
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0);
    number.ok_or_else(|| "a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n: &f64| (0.0..=1.0).contains(n));
    number.ok_or_else(|| "a share, 0 to 1".to_owned())
}

fn blocks(text: &str) -> Result<usize, String> {
    if text == "unlimited" {
        return Ok(usize::MAX);
    }
    let number = text.parse().ok().filter(|n| (1..=MOST_BLOCKS).contains(n));
    number.ok_or_else(|| format!("a number of blocks, 1 to {MOST_BLOCKS}, or unlimited"))
}
