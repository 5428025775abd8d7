//! `whinchat service`: a stage of the pipeline alone; and the other end of it, in `whinchat serve`.

mod asked;
#[cfg_attr(not(unix), path = "process_none.rs")]
mod process;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use config::Config;
use engine::Executor;
use serve::http::Live;
use serve::services::{ComputeService, MemoryService, Running, SchedulerService, TokenizerService, run_service};

pub(super) use self::asked::{Asked, problem};
use super::listen::Listening;
use super::settings::{Given, variables};
use super::sockets::Sockets;
use super::{logging, network, security, serve as served};

/// Run one stage of the pipeline alone: tokenizer, scheduler, memory manager or computation manager
///
/// Each answers over HTTP what it answers inside whinchat serve, which asks it there with --tokenizer, --scheduler, --memory and
/// --compute. At its address is a page that runs its examples. It takes every flag of serve; those that are not its own change nothing.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat service tokenizer --listen 127.0.0.1:8101 --model org/name
  whinchat service scheduler --listen 127.0.0.1:8102 --policy fair-share
  whinchat service memory --listen 127.0.0.1:8103 --eviction s3-fifo
  whinchat service compute --listen 127.0.0.1:8104 --model org/name --context 4096
  whinchat serve --model org/name --scheduler http://127.0.0.1:8102")]
pub(crate) struct Service {
    #[command(subcommand)]
    stage: Stage,
}

#[derive(Subcommand)]
enum Stage {
    /// Makes tokens of texts, and texts of tokens
    Tokenizer(Alone),
    /// Says in which order sequences are served
    Scheduler(Alone),
    /// Manages the blocks of KV caches
    Memory(Alone),
    /// Computes batches and gives their logits
    Compute(Compute),
}

#[derive(Args)]
struct Alone {
    #[command(flatten)]
    given: Own,
}

#[derive(Args)]
struct Compute {
    #[command(flatten)]
    given: Own,
    /// Answer the server that has started this process, over shared memory: a socket is its standard input.
    #[arg(long, hide = true)]
    over_shared_memory: bool,
}

/// The settings of serve, of which the help shows those that say something to a stage alone.
struct Own(Given);

/// What they are, or begin with.
const SHOWN: [&str; 15] = [
    "config",
    "model.source",
    "model.context",
    "engine.threads",
    "engine.pin",
    "engine.policy",
    "engine.max_sequences",
    "engine.max_batch_tokens",
    "cache.kv_type",
    "cache.kv_tokens",
    "cache.eviction",
    "cache.weights",
    "network.listen",
    "security.tls",
    "security.allow_faults",
];

impl Args for Own {
    fn augment_args(command: Command) -> Command {
        let shown = |arg: &Arg| SHOWN.iter().any(|shown| arg.get_id().as_str().starts_with(shown));
        Given::augment_args(command).mut_args(|arg| if shown(&arg) { arg } else { arg.hide(true) })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Own::augment_args(command)
    }
}

impl FromArgMatches for Own {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Own, clap::Error> {
        Given::from_arg_matches(matches).map(Own)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Service {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.stage {
            Stage::Tokenizer(alone) => alone.run(|config| {
                let model = served::load_args(config).model;
                let tokenizer = whinchat::tokenizer(&*model.open()?)?;
                Ok(running(TokenizerService::new(Arc::new(tokenizer)), config))
            }),
            Stage::Scheduler(alone) => {
                alone.run(|config| Ok(running(SchedulerService::new(config.engine.policy.0), config)))
            }
            Stage::Memory(alone) => {
                alone.run(|config| Ok(running(MemoryService::new(config.cache.eviction.0), config)))
            }
            Stage::Compute(Compute { given, over_shared_memory: true }) => {
                let config = resolved(&given.0)?;
                process::answer(|| executor(&config))
            }
            Stage::Compute(Compute { given, .. }) => {
                Alone { given }.run(|config| Ok(running(ComputeService::new(executor(config)?, origin()), config)))
            }
        }
    }
}

/// A number that no process before this one had.
fn origin() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

fn running(service: impl serve::services::Service, config: &Config) -> Arc<Running> {
    Running::new(service, config.security.allow_faults, resident_bytes)
}

/// Bytes that this process has in memory, where Linux tells.
fn resident_bytes() -> Option<u64> {
    resident_bytes_of("self")
}

/// As [`resident_bytes`], of the process with this number.
fn resident_bytes_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// What the flags, the environment and the file say.
fn resolved(given: &Given) -> anyhow::Result<Config> {
    Ok(given.resolve(given.read()?.as_deref(), &variables())?.config)
}

/// The model's executor, with its weights in memory.
fn executor(config: &Config) -> anyhow::Result<impl Executor + use<>> {
    let load = served::load_args(config);
    let prepared = load.resolve(load.model.open()?, &served::load_options(config, &load)?)?;
    let bars = crate::terminal::Bars::new();
    Ok(prepared.executor(&|stage, done, total| bars.show(stage, done, total))?)
}

impl Alone {
    /// Answers what `make` makes, until a signal comes.
    fn run(self, make: impl FnOnce(&Config) -> anyhow::Result<Arc<Running>>) -> anyhow::Result<()> {
        let config = resolved(&self.given.0)?;
        anyhow::ensure!(
            config.security.api_keys.is_none(),
            "--api-keys: a service asks for no keys; listen where only its server reaches it, or take --tls-client-ca"
        );
        let _logging = logging::start(&config.log)?;
        security::log_panics();
        let threads = network::client_threads(&config.network);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let ended = runtime.block_on(async {
            let tls = security::open(&config.security)?.tls;
            let listening = Listening::on(&config.network.listen, tls.as_ref(), &mut Sockets::default()).await?;
            let running = make(&config)?;
            let (live, _setter) = Live::new(network::settings(&config, None)?);
            tracing::info!("the {} is ready", running.name());
            if config.security.allow_faults {
                tracing::warn!("faults may be injected (--allow-faults): this service is for tests");
            }
            let files = listening.files;
            let served_until_told = run_service(listening.listeners, running, served::stop_signals(1), live).await;
            drop(files);
            anyhow::Ok(served_until_told?)
        });
        runtime.shutdown_background();
        ended
    }
}
