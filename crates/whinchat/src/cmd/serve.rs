//! `whinchat serve`: answer over HTTP.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serve::App;
use whinchat::LoadOptions;

use super::LoadArgs;

/// Answer over HTTP: OpenAI's chat completions, completions and models.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    load: LoadArgs,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "HOST:PORT", env = "WHINCHAT_LISTEN")]
    listen: String,
    /// The name clients use [default: the model's own]
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// Sequences that run at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    max_sequences: u32,
    /// Rows computed in a step at most: longer prompts are computed in pieces while others go on.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_batch_tokens: u32,
    /// Positions the KV cache holds over all sequences [default: by the model, the context and the memory]
    #[arg(long, value_name = "TOKENS")]
    kv_tokens: Option<usize>,
    /// Seconds that open answers have to finish after SIGTERM.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    grace: u64,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let filter = tracing_subscriber::EnvFilter::try_from_env("WHINCHAT_LOG").unwrap_or_else(|_| "info".into());
        let colours = std::io::stderr().is_terminal();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let served = runtime.block_on(self.listen_and_serve());
        runtime.shutdown_background();
        served
    }

    async fn listen_and_serve(self) -> anyhow::Result<()> {
        let listener = tokio::net::TcpListener::bind(&self.listen)
            .await
            .map_err(|e| anyhow::anyhow!("cannot listen on {}: {e}; {}", self.listen, advice(&e)))?;
        tracing::info!("listening on http://{}", listener.local_addr()?);
        let app = App::new();
        let server = tokio::spawn(serve::http::serve(
            listener,
            std::sync::Arc::clone(&app),
            stop_signals(1),
            Duration::from_secs(self.grace),
        ));
        let loading = tokio::task::spawn_blocking(move || self.load_model());
        let engine_thread = tokio::select! {
            loaded = loading => {
                let (served, thread) = loaded??;
                let ready = format!("{} is ready (context {} tokens)", served.name, served.context);
                app.add(served);
                tracing::info!("{ready}");
                thread
            }
            // The loading thread cannot be interrupted; the runtime does not wait for it.
            () = stop_signals(1) => return Ok(()),
        };
        tokio::select! {
            ended = server => ended??,
            () = stop_signals(2) => {
                tracing::warn!("a second signal: open answers are cut off");
                return Ok(());
            }
        }
        if let Some(thread) = engine_thread {
            tokio::task::spawn_blocking(move || thread.join()).await?.ok();
        }
        tracing::info!("drained");
        Ok(())
    }

    fn load_model(self) -> anyhow::Result<(serve::Served, Option<std::thread::JoinHandle<()>>)> {
        let options = LoadOptions {
            max_sequences: Some(self.max_sequences as usize),
            max_batch_tokens: Some(self.max_batch_tokens as usize),
            kv_tokens: self.kv_tokens,
            ..self.load.options()
        };
        let model = self.load.load_with(&options)?;
        let name = self.alias.unwrap_or_else(|| model.name().to_owned());
        Ok(model.into_served(name))
    }
}

/// What helps against an error of listening.
fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "stop the program that listens there, or take another port (0 is any free one)"
        }
        std::io::ErrorKind::PermissionDenied => "take a port from 1024 on",
        _ => "write HOST:PORT, as 127.0.0.1:8000, with a host of this machine",
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
