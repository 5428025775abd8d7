//! `whinchat serve`: answer over HTTP.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use config::{Config, Whose};
use serve::http::{Live, Tls};
use serve::{App, LoadOrder};
use tokio::task::JoinHandle;
use whinchat::{CacheOptions, Cpu, LoadOptions, LoadedModel, SamplingDefaults, WeightsOrigin};

use super::entrance::Entrance;
use super::listen::Place;
use super::loader::{Further, load_adapters};
use super::ready::{self, Ready};
use super::reload::{self, Reload};
use super::security::{self, Secured};
use super::services::Asked;
use super::settings::{Elsewhere, Given, variables};
use super::sockets::Sockets;
use super::{AnswerArgs, LoadArgs, ModelArg, TemplateArg, demand, logging, network, replicas, scheduling, service};
use crate::plans::{Book, Store};
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
  whinchat serve --listen 127.0.0.1:8000 --listen unix:/run/user/1000/whinchat.sock
  whinchat serve --hand-over /run/user/1000/whinchat.hand-over
  whinchat serve --config whinchat.yaml")]
pub(crate) struct Serve {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    _elsewhere: Elsewhere,
}

/// A model in memory, and what is said of it.
struct Loaded {
    model: LoadedModel,
    ready: Ready,
    /// What it runs on.
    cpu: Cpu,
}

/// A server with its configuration.
struct Server {
    config: Config,
    load: LoadArgs,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let text = self.given.read()?;
        let resolved = self.given.resolve(text.as_deref(), &variables())?;
        let logging = logging::start(&resolved.config.log)?;
        security::log_panics();
        // While there is one thread: it changes the environment.
        let passed = Sockets::passed()?;
        resolved.notes.iter().for_each(|note| tracing::warn!("{note}"));
        let threads = network::client_threads(&resolved.config.network);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let server = Server { load: load_args(&resolved.config), config: resolved.config.clone() };
        let served = runtime.block_on(async {
            let Secured { keys, tls } = security::open(&resolved.config.security)?;
            let (live, setter) = Live::new(network::settings(&resolved.config, keys.as_ref())?);
            let app = App::new();
            let reload = Reload { given: self.given, text, resolved, app: Arc::downgrade(&app), setter, keys, logging };
            let reloading = reload.start()?;
            let served = server.listen_and_serve(app, live, tls, passed).await;
            reloading.abort();
            served
        });
        runtime.shutdown_background();
        served
    }
}

impl Server {
    async fn listen_and_serve(
        self,
        app: Arc<App>,
        live: Live,
        tls: Option<Tls>,
        passed: Sockets,
    ) -> anyhow::Result<()> {
        let options = load_options(&self.config, &self.load)?;
        let mut entrance = Entrance::open(&self.config.network, tls.as_ref(), passed).await?;
        if self.config.security.api_keys.is_none() {
            entrance.warn_if_open();
        }
        app.measure_machine(crate::machine::probe(self.config.engine.threads.unwrap_or_else(whinchat::machine::cores)));
        app.measure_cores(crate::cores::meter());
        self.keep(&app)?;
        if self.config.security.allow_faults {
            app.allow_faults();
            tracing::warn!("faults may be injected (--allow-faults): this server is for tests");
        }
        let (stop, cut_off) = (stop_signals(1), stop_signals(2));
        reload::tell(&app, &self.config);
        service::loading();
        service::watch(&app);
        let quiet = self.config.log.quiet;
        let (models, places) = (Arc::clone(&app), entrance.places());
        let mut loading = tokio::task::spawn_blocking(move || self.load_all(&models, places, options));
        let mut ready = None;
        if entrance.opens_late() {
            ready = loaded(&mut loading).await?;
            if ready.is_none() {
                return Ok(());
            }
        }
        let server = entrance.start(&app, live, stop)?;
        if ready.is_none() {
            // A model that is there already may have open answers: these are finished below.
            ready = loaded(&mut loading).await?;
        }
        if let Some(ready) = ready {
            service::ready();
            if !quiet {
                eprint!("{ready}");
            }
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

    /// Keeps files and sessions where the configuration says.
    fn keep(&self, app: &Arc<App>) -> anyhow::Result<()> {
        if let Some(folder) = &self.config.storage.data_dir {
            keep_batches(app, folder)?;
        }
        super::telemetry::tell(app, &self.config.telemetry)?;
        if let Some(path) = &self.config.storage.sessions {
            let folder = Folder::open(path).with_context(|| format!("--sessions {}", path.display()))?;
            app.keep_sessions(folder);
        }
        Ok(())
    }

    /// Loads every model; the first answers while the others are loaded.
    fn load_all(mut self, app: &Arc<App>, places: Vec<Place>, options: LoadOptions) -> anyhow::Result<Ready> {
        let first = self.load.model.name().into_owned();
        let source = self.load.model.model.clone().unwrap_or_else(|| whinchat::BUILTIN.into());
        let devices = replicas::devices(&self.config)?;
        let (also, admin) = (std::mem::take(&mut self.config.models), self.config.network.admin);
        let demand = std::mem::take(&mut self.config.demand);
        let book = Arc::new(Book::new(Store::in_folder(self.config.storage.data_dir.as_deref())));
        app.know_plans(Arc::clone(&book) as Arc<dyn serve::Plans>);
        let adapters = demand::adapters(std::mem::take(&mut self.config.model.lora));
        let Loaded { model, ready, cpu } = self.load_model(app, places, (&options, &adapters, &book))?;
        for config::Further { name, .. } in &also {
            anyhow::ensure!(*name != model.info.name, "--also {name}=…: another model has this name");
        }
        let name = model.info.name.clone();
        add(app, model, LoadOrder { source: first, adapters: adapters.clone(), ..LoadOrder::default() });
        replicas::add(app, (&name, &source), &devices, (&options, &adapters, &cpu))?;
        let loader = Further { options, cpu, app: Arc::downgrade(app), pulled: demand.pulled, book };
        for further in also {
            let order = demand::order(further);
            add(app, loader.start(&order)?, order);
        }
        demand::know(demand, app)?;
        app.load_with(loader);
        if admin {
            app.change_on_request();
        }
        Ok(ready)
    }

    fn load_model(
        self,
        app: &App,
        places: Vec<Place>,
        (options, adapters, book): (&LoadOptions, &[(String, String)], &Book),
    ) -> anyhow::Result<Loaded> {
        // What is said when it is ready says too if the model was not chosen.
        let prepared = self.load.resolve(self.load.model.open_silently()?, options)?;
        let cpu = prepared.cpu();
        let asked = Asked::of(&self.config)?;
        app.asks_services(asked.elsewhere());
        let (stages, observer) = (asked.stages(&prepared, &cpu)?, app.observer(&prepared.model_name()));
        let model = self.load.start_on(cpu.clone(), &prepared, stages, observer)?;
        load_adapters(&model, adapters)?;
        let ready = Ready {
            places,
            name: model.name().to_owned(),
            size: ready::size(&prepared),
            memory: ready::memory(&prepared, model.weights()),
            template: model.template().cloned(),
            encoder: !prepared.model.graph().causal() || prepared.model.spec().output.head.is_some(),
            draft: prepared.draft().map(|draft| match prepared.drafts_itself() {
                true => "its own multi-token prediction".to_owned(),
                false => format!("{}: {}", draft.checkpoint.name(), ready::size(draft)),
            }),
            builtin: self.load.model.model.is_none(),
        };
        // What is computed elsewhere takes no memory here.
        if *model.weights() != WeightsOrigin::Elsewhere {
            book.add(prepared, cpu.clone(), model.tuning());
        }
        Ok(Loaded { model: model.into_loaded(), ready, cpu })
    }
}

/// How a model is loaded that is served so.
///
/// # Errors
/// If there is no such chat template.
pub(super) fn load_options(config: &Config, load: &LoadArgs) -> anyhow::Result<LoadOptions> {
    let model = &config.model;
    let template = TemplateArg { chat_template: model.chat_template.clone() };
    let sampling_defaults = model.sampling_defaults.map(|whose| match whose {
        Whose::LlamaCpp => SamplingDefaults::LlamaCpp,
        Whose::OpenAi => SamplingDefaults::OpenAi,
    });
    let draft_model = model.draft_model.as_ref().map(Into::into);
    Ok(LoadOptions {
        name: model.name.clone(),
        max_sequences: Some(config.engine.max_sequences),
        max_batch_tokens: Some(config.engine.max_batch_tokens),
        // What the command line says goes before a setting that is silent.
        cache: CacheOptions { kv_type: load.kv_type, ..scheduling::cache(&config.cache) },
        engine: scheduling::engine(config),
        ..AnswerArgs { sampling_defaults, draft_model, template }.options(load)?
    })
}

/// What is said when models are loaded; `None` if a signal comes before. The loading thread cannot be interrupted; the runtime does not
/// wait for it.
async fn loaded(loading: &mut JoinHandle<anyhow::Result<Ready>>) -> anyhow::Result<Option<Ready>> {
    tokio::select! {
        loaded = loading => Ok(Some(loaded??)),
        () = stop_signals(1) => Ok(None),
    }
}

pub(super) fn load_args(config: &Config) -> LoadArgs {
    let (model, engine) = (&config.model, &config.engine);
    LoadArgs {
        model: ModelArg { model: model.source.as_ref().map(Into::into) },
        context: model.context,
        threads: engine.threads,
        pin: engine.pin,
        kv_type: config.cache.kv_type.0,
        weights_cache: config.cache.weights.clone().into(),
        // What is wrong with one was said when the settings were read.
        device: replicas::devices(config).map(|mut devices| devices.swap_remove(0)).unwrap_or_default(),
        gpu_layers: config.model.gpu_layers.as_deref().and_then(|text| text.parse().ok()),
        kernels: config.engine.kernels.iter().filter_map(|text| text.parse().ok()).collect(),
        plan: config.engine.plan.clone(),
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
pub(super) fn stop_signals(count: usize) -> impl Future<Output = ()> + Send + 'static {
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
pub(super) async fn stop_signals(count: usize) {
    for _ in 0..count {
        let _ = tokio::signal::ctrl_c().await;
    }
}
