//! `whinchat top`: what a running server does, in the terminal, as the dashboard shows it.

mod client;
mod lines;
mod told;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use self::client::Client;
use self::lines::Lines;
use self::told::Told;
use crate::terminal::colours;

/// Nothing is drawn more often: what a terminal cannot show in time would only queue up.
const SOON: Duration = Duration::from_millis(90);

/// To the upper left, and what was there before is written over: nothing flickers, and what was drawn last stays when it ends.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K\n";
const REST_OF_SCREEN: &str = "\x1b[J";

/// Show what a running server does
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat top
  whinchat top --once --window 10m
  whinchat top --server http://gpu-box:8000 --json

Ctrl-C ends it. The same as a page: /dashboard of the server.")]
pub(crate) struct Top {
    /// Where the server is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "WHINCHAT_SERVER")]
    server: String,
    /// A key with the role metrics or admin, where the server has keys.
    #[arg(long, value_name = "KEY", env = "WHINCHAT_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Over which time engines and tenants are compared.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = ["10s", "1m", "10m", "1h"])]
    window: String,
    /// Show what holds now, and end.
    #[arg(long)]
    once: bool,
    /// All that is known as JSON, one object per line: at once and whenever something changes.
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let once = self.once || !self.json && !std::io::stdout().is_terminal();
        let (mut told, mut drawn) = (Value::Null, None::<Instant>);
        for message in Client::new(&self.server, self.key.as_deref()).messages()? {
            told::merge(&mut told, message?);
            if once {
                return self.show(&told, false);
            }
            if drawn.is_none_or(|drawn| drawn.elapsed() >= SOON) {
                self.show(&told, true)?;
                drawn = Some(Instant::now());
            }
        }
        anyhow::bail!("{} has ended the connection", self.server)
    }

    /// Writes what is known: over what stood there before if it goes on.
    fn show(&self, told: &Value, live: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{told}")?;
            return Ok(out.flush()?);
        }
        let (width, height) = size();
        let told = Told::read(told)?;
        let lines = Lines { told: &told, window: &self.window, url: &self.server, width, colours: colours(&out) }.all();
        if live {
            let lines = lines.iter().take(height.saturating_sub(1));
            let text: String = lines.flat_map(|line| [line, REST_OF_LINE]).collect();
            write!(out, "{HOME}{text}{REST_OF_SCREEN}")?;
        } else {
            writeln!(out, "{}", lines.join("\n").trim_end())?;
        }
        Ok(out.flush()?)
    }
}

/// Columns and lines of the terminal; as many as wanted where there is none.
fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size().map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
    size.unwrap_or((usize::MAX, usize::MAX))
}
