//! `whinchat serve`: answer over HTTP.

use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serve::App;
use serve::http::Settings;
use whinchat::{LoadOptions, LoadedModel};

use super::ready::{self, Ready};
use super::scheduling::SchedulingArgs;
use super::{AnswerArgs, LoadArgs};

/// Answer over HTTP: OpenAI's API and a chat page
///
/// The API has chat completions, completions and models, below /v1; the chat page is at /.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat serve
  whinchat serve --model org/name --listen 0.0.0.0:8080 --context 4096")]
pub(crate) struct Serve {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    answer: AnswerArgs,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "HOST:PORT", env = "WHINCHAT_LISTEN")]
    listen: String,
    /// The name clients use [default: the model's own]
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// Answer to any model name, not only to its own.
    #[arg(long)]
    any_model_name: bool,
    /// Sequences that run at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    max_sequences: u32,
    /// Rows computed in a step at most: longer prompts are computed in pieces while others go on.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_batch_tokens: u32,
    /// Positions the KV cache holds over all sequences [default: by the model, the context and the memory]
    #[arg(long, value_name = "TOKENS")]
    kv_tokens: Option<usize>,
    #[command(flatten)]
    scheduling: SchedulingArgs,
    /// Threads that speak with clients, beside those that compute [default: one for every eight cores, two at least]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    client_threads: Option<u16>,
    /// Connections at once; clients beyond that are answered 503 and may try again [default: 4096, or what the limit of open
    /// files allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: Option<u32>,
    /// Seconds that open answers have to finish after SIGTERM or Ctrl-C.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    grace: u64,
    /// Say nothing but warnings and errors.
    #[arg(long, short)]
    quiet: bool,
}

/// A model in memory, and what is said of it.
type Loaded = (LoadedModel, Ready);

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let filter = tracing_subscriber::EnvFilter::try_from_env("WHINCHAT_LOG")
            .unwrap_or_else(|_| if self.quiet { "warn" } else { "info" }.into());
        let colours = std::io::stderr().is_terminal();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
        let threads = self.client_threads.map_or((whinchat::machine::cores() / 8).max(2), usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let served = runtime.block_on(self.listen_and_serve());
        runtime.shutdown_background();
        served
    }

    async fn listen_and_serve(self) -> anyhow::Result<()> {
        let listener = tokio::net::TcpListener::bind(&self.listen)
            .await
            .map_err(|e| anyhow::anyhow!("cannot listen on {}: {e}; {}", self.listen, advice(&e, &self.listen)))?;
        let address = listener.local_addr()?;
        tracing::info!("listening on http://{address}");
        let app = App::new();
        if self.any_model_name {
            app.answer_to_any_name();
        }
        let server = serve::http::serve(vec![listener.into()], Arc::clone(&app), stop_signals(1), self.settings());
        let server = tokio::spawn(server);
        let quiet = self.quiet;
        let loading = tokio::task::spawn_blocking(move || self.load_model(address));
        tokio::select! {
            loaded = loading => {
                let (model, ready) = loaded??;
                let line = format!("{} is ready (context {} tokens)", model.info.name, model.context());
                app.add(model);
                tracing::info!("{line}");
                if !quiet {
                    eprint!("{ready}");
                }
            }
            // The loading thread cannot be interrupted; the runtime does not wait for it.
            () = stop_signals(1) => return Ok(()),
        }
        tokio::select! {
            ended = server => ended??,
            () = stop_signals(2) => {
                tracing::warn!("a second signal: open answers are cut off");
                return Ok(());
            }
        }
        // The last reference to the models: their engines end.
        tokio::task::spawn_blocking(move || drop(app)).await?;
        tracing::info!("drained");
        Ok(())
    }

    fn settings(&self) -> Settings {
        let default = Settings::default();
        let files = open_files().saturating_sub(OTHER_FILES).max(1);
        let max_connections = match self.max_connections {
            None => default.max_connections.min(files),
            Some(asked) => asked as usize,
        };
        if max_connections > files {
            tracing::warn!("{max_connections} connections, but the system allows {files} beside other files (ulimit -n)");
        }
        Settings { max_connections, grace: Duration::from_secs(self.grace), ..default }
    }

    fn load_model(self, address: SocketAddr) -> anyhow::Result<Loaded> {
        let options = LoadOptions {
            name: self.alias,
            max_sequences: Some(self.max_sequences as usize),
            max_batch_tokens: Some(self.max_batch_tokens as usize),
            kv_tokens: self.kv_tokens,
            engine: self.scheduling.config(),
            ..self.answer.options(&self.load)
        };
        // What is said when it is ready says too if the model was not chosen.
        let prepared = self.load.resolve(self.load.model.open_silently()?, &options)?;
        let model = self.load.start(&prepared)?;
        let ready = Ready {
            address,
            name: model.name().to_owned(),
            size: ready::size(&prepared),
            memory: ready::memory(&prepared),
            chats: model.chats(),
            builtin: self.load.model.model.is_none(),
        };
        Ok((model.into_loaded(), ready))
    }
}

/// Files that are open beside connections: the model's parts, listeners, the runtime's own.
const OTHER_FILES: usize = 128;

/// Files that this process may have open. The soft limit is for programs that use `select`; it is raised to the hard one.
#[cfg(unix)]
fn open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn open_files() -> usize {
    usize::MAX
}

/// What helps against an error of listening.
fn advice(error: &std::io::Error, listen: &str) -> String {
    let host = listen.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("another program listens there: stop it, or take another port (--listen {host}:0 takes a free one)")
        }
        ErrorKind::PermissionDenied => "take a port from 1024 on".into(),
        _ => "write HOST:PORT, as 127.0.0.1:8000, with a host of this machine".into(),
    }
}

/// Ends at so many of SIGTERM and Ctrl-C.
async fn stop_signals(count: usize) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
        let Ok((mut terminate, mut interrupt)) = signals else { return std::future::pending().await };
        for _ in 0..count {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    }
    #[cfg(not(unix))]
    for _ in 0..count {
        let _ = tokio::signal::ctrl_c().await;
    }
}
