//! `whinchat serve`: answer over HTTP.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serve::{App, LoadOrder};
use whinchat::{Cpu, LoadOptions, LoadedModel, bounds};

use super::demand::DemandArgs;
use super::listen::{Listening, Place};
use super::loader::Further;
use super::network::NetworkArgs;
use super::ready::{self, Ready};
use super::scheduling::SchedulingArgs;
use super::{AnswerArgs, LoadArgs, within};
use crate::sessions::Folder;

/// Answer over HTTP: OpenAI's API and a chat page
///
/// The API has chat completions, completions and models, below /v1; the chat page is at /.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat serve
  whinchat serve --model org/name --listen 0.0.0.0:8080 --context 4096
  whinchat serve --model org/large --also small=org/small --admin
  whinchat serve --pulled --keep-alive 5m
  whinchat serve --listen 127.0.0.1:8000 --listen unix:/run/user/1000/whinchat.sock")]
pub(crate) struct Serve {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    answer: AnswerArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    models: ModelsArgs,
    /// Keep files and batches of requests in a database in this folder, for this server alone (/v1/files, /v1/batches); in a build
    /// with the feature batches.
    #[arg(long, value_name = "DIR", env = "WHINCHAT_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Sequences that run at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = within(bounds::SEQUENCES))]
    max_sequences: usize,
    /// Rows computed in a step at most: longer prompts are computed in pieces while others go on.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = within(bounds::BATCH_TOKENS))]
    max_batch_tokens: usize,
    /// Positions the KV cache holds over all sequences, at least the context [default: by the model, the context and the memory]
    #[arg(long, value_name = "TOKENS", value_parser = within(bounds::KV_TOKENS))]
    kv_tokens: Option<usize>,
    #[command(flatten)]
    scheduling: SchedulingArgs,
    /// Say nothing but warnings and errors.
    #[arg(long, short)]
    quiet: bool,
}

/// Which models there are, and by which names.
#[derive(Args)]
struct ModelsArgs {
    /// The name clients use [default: the model's own]
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// A further model, served beside the first under a name of its own, once or several times. They share the threads.
    #[arg(long, value_name = "NAME=MODEL", value_parser = named)]
    also: Vec<(String, OsString)>,
    /// Let models be loaded, replaced and taken away while the server answers: /admin/models, for this machine only.
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    demand: DemandArgs,
    /// Let sessions be saved in this folder, restored and deleted: /v1/sessions.
    #[arg(long, value_name = "DIR")]
    sessions: Option<PathBuf>,
    /// Answer to any model name, not only to its own.
    #[arg(long)]
    any_model_name: bool,
}

/// A model in memory, and what is said of it.
struct Loaded {
    model: LoadedModel,
    ready: Ready,
    /// What it runs on.
    cpu: Cpu,
}

/// A name and a model with an equals sign between.
pub(super) fn named(text: &str) -> Result<(String, OsString), String> {
    match text.split_once('=') {
        Some((name, model)) if !name.is_empty() && !model.is_empty() => Ok((name.to_owned(), model.into())),
        _ => Err("a name and a model with = between: small=org/name".to_owned()),
    }
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let filter = tracing_subscriber::EnvFilter::try_from_env("WHINCHAT_LOG")
            .unwrap_or_else(|_| if self.quiet { "warn" } else { "info" }.into());
        let colours = std::io::stderr().is_terminal();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
        let threads = self.network.client_threads();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let served = runtime.block_on(self.listen_and_serve());
        runtime.shutdown_background();
        served
    }

    async fn listen_and_serve(self) -> anyhow::Result<()> {
        let settings = self.network.settings()?;
        let options = self.options()?;
        let mut listening = Listening::on(&self.network.listen).await?;
        let app = App::new();
        if let Some(folder) = &self.data_dir {
            keep_batches(&app, folder)?;
        }
        let cut_off = stop_signals(2);
        if self.models.any_model_name {
            app.answer_to_any_name();
        }
        if let Some(path) = &self.models.sessions {
            let folder = Folder::open(path).with_context(|| format!("--sessions {}", path.display()))?;
            app.keep_sessions(folder);
        }
        let listeners = std::mem::take(&mut listening.listeners);
        let places = listening.places.clone();
        let server = serve::http::serve(listeners, Arc::clone(&app), stop_signals(1), settings);
        let server = tokio::spawn(server);
        let quiet = self.quiet;
        let models = Arc::clone(&app);
        let loading = tokio::task::spawn_blocking(move || self.load_all(&models, places, options));
        tokio::select! {
            loaded = loading => {
                let ready = loaded??;
                if !quiet {
                    eprint!("{ready}");
                }
            }
            // The loading thread cannot be interrupted; the runtime does not wait for it. A model that is there already
            // may have open answers: these are finished below.
            () = stop_signals(1) => {}
        }
        tokio::select! {
            ended = server => ended??,
            () = cut_off => {
                tracing::warn!("a second signal: open answers are cut off");
                return Ok(());
            }
        }
        // The last reference to the models: their engines end.
        tokio::task::spawn_blocking(move || drop(app)).await?;
        tracing::info!("drained");
        Ok(())
    }

    fn options(&self) -> anyhow::Result<LoadOptions> {
        Ok(LoadOptions {
            name: self.models.alias.clone(),
            max_sequences: Some(self.max_sequences),
            max_batch_tokens: Some(self.max_batch_tokens),
            cache: self.scheduling.cache(self.kv_tokens),
            engine: self.scheduling.config(),
            ..self.answer.options(&self.load)?
        })
    }

    /// Loads every model; the first answers while the others are loaded.
    fn load_all(mut self, app: &Arc<App>, places: Vec<Place>, options: LoadOptions) -> anyhow::Result<Ready> {
        let first = self.load.model.name().into_owned();
        let (also, admin) = (std::mem::take(&mut self.models.also), self.models.admin);
        let demand = std::mem::take(&mut self.models.demand);
        demand.begin(app);
        let Loaded { model, ready, cpu } = self.load_model(app, places, &options)?;
        for (at, (name, _)) in also.iter().enumerate() {
            let taken = *name == model.info.name || also[..at].iter().any(|(other, _)| other == name);
            anyhow::ensure!(!taken, "--also {name}=…: another model has this name");
        }
        add(app, model, LoadOrder { source: first, ..LoadOrder::default() });
        let loader = Further { options, cpu, app: Arc::downgrade(app), pulled: demand.pulled() };
        for (name, source) in also {
            let source = source.to_string_lossy().into_owned();
            let order = LoadOrder { source, name: Some(name), ..LoadOrder::default() };
            add(app, loader.start(&order)?, order);
        }
        demand.know(app)?;
        app.load_with(loader);
        if admin {
            app.change_on_request();
        }
        Ok(ready)
    }

    fn load_model(self, app: &App, places: Vec<Place>, options: &LoadOptions) -> anyhow::Result<Loaded> {
        // What is said when it is ready says too if the model was not chosen.
        let prepared = self.load.resolve(self.load.model.open_silently()?, options)?;
        let cpu = prepared.cpu();
        let model = self.load.start_on(cpu.clone(), &prepared, app.observer(&prepared.model_name()))?;
        let ready = Ready {
            places,
            name: model.name().to_owned(),
            size: ready::size(&prepared),
            memory: ready::memory(&prepared),
            template: model.template().cloned(),
            builtin: self.load.model.model.is_none(),
        };
        Ok(Loaded { model: model.into_loaded(), ready, cpu })
    }
}

/// From now on, files and batches are kept in this folder.
#[cfg(feature = "batches")]
fn keep_batches(app: &Arc<App>, folder: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot keep files and batches in {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    app.keep_batches(serve::BatchStore::open(&folder.join("batches.db")).with_context(failed)?);
    Ok(())
}

#[cfg(not(feature = "batches"))]
fn keep_batches(_: &Arc<App>, folder: &Path) -> anyhow::Result<()> {
    let folder = folder.display();
    anyhow::bail!("--data-dir {folder}: this build keeps no files and batches; build it with --features batches")
}

fn add(app: &App, model: LoadedModel, order: LoadOrder) {
    let line = format!("{} is ready (context {} tokens)", model.info.name, model.context());
    app.add_loaded(model, order);
    tracing::info!("{line}");
}

/// Ends at so many of SIGTERM and Ctrl-C, counted from the call and not only from the first look.
#[cfg(unix)]
fn stop_signals(count: usize) -> impl Future<Output = ()> + Send + 'static {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    async move {
        let Ok((mut terminate, mut interrupt)) = signals else { return std::future::pending().await };
        for _ in 0..count {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    }
}

/// Ends at so many Ctrl-C.
#[cfg(not(unix))]
async fn stop_signals(count: usize) {
    for _ in 0..count {
        let _ = tokio::signal::ctrl_c().await;
    }
}
