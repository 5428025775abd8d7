//! `whinchat release`: a new variant takes the place of another in stages, and what decides is what requests show.

mod allowance;
mod check;
mod kept;
mod measure;
mod plan;
mod report;
mod show;
mod start;
mod watch;

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::check::Check;
use self::start::Start;
use super::Exit;
use super::remote::{Remote, RemoteArgs, escaped};
use crate::terminal::{is_broken_pipe, whole_message};

/// Release another variant in stages, which requests decide about
///
/// The exit status is 0 if it was done, and 2 if not. Two commands say more. watch: 0 if the candidate was promoted, 1 if it was
/// rolled back, 3 if nothing was shown in time or somebody ended it. check: 0 if nothing has regressed, 1 if something has.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat release start chat --source model-Q4_K_M.gguf --version q4
  whinchat release start chat --source model-Q4_K_M.gguf --shadow 10 --stages 5,25,100 --min-time 10m --watch
  whinchat release start chat qwen@2 --margin failures=0.01,median=0.1
  whinchat release status
  whinchat release watch chat
  whinchat release abort chat --why 'its answers are too long'
  whinchat release explain chat
  whinchat release check --baseline baseline.json --suite models/whinchat-demo/eval

All but check ask a running server, which must have been started with --admin, on its own machine or with a key that may do so.")]
pub(crate) struct Release {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Release a candidate beside the variant that answers now
    Start(Box<Start>),
    /// Say where a release is and what it waits for; without a name, list all
    Status {
        /// A release, `latest`, or a route: its newest release.
        #[arg(value_name = "RELEASE")]
        release: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Follow a release until it has ended
    Watch(Asked),
    /// Send a release to its next stage, whatever is not yet shown
    Promote(Order),
    /// Stop a release where it is; harm still ends it
    Pause(Order),
    /// Let a paused release go on
    Resume(Order),
    /// End a release: the stable variant answers everything again
    Abort(Order),
    /// List what was decided, when and why
    History {
        #[command(flatten)]
        asked: Asked,
        /// Every entry of the journal, not only those with decisions.
        #[arg(long)]
        all: bool,
    },
    /// Explain every decision from the journal, proved by replaying it
    Explain(Asked),
    Check(Box<Check>),
}

/// Which release.
#[derive(Args)]
struct Asked {
    /// A release, `latest`, or a route: its newest release.
    #[arg(value_name = "RELEASE", default_value = "latest")]
    release: String,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
struct Json {
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Order {
    #[command(flatten)]
    asked: Asked,
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Where releases are.
const RELEASES: &str = "/admin/releases";

impl Release {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        self.done().map_err(|error| {
            let own = error.is::<Exit>() || is_broken_pipe(&error);
            if own { error } else { Exit { status: 2, why: whole_message(&error) }.into() }
        })
    }

    fn done(self) -> anyhow::Result<()> {
        if let What::Check(check) = self.what {
            return check.run();
        }
        let server = self.remote.remote()?;
        match self.what {
            What::Start(start) => start.run(&server),
            What::Status { release: None, json } => {
                let all = server.get(RELEASES)?;
                print(json.json, &all, show::table)
            }
            What::Status { release: Some(release), json } => {
                print(json.json, &server.get(&path(&release, ""))?, show::status)
            }
            What::Watch(asked) => watch::follow(&server, &asked.release, asked.json.json),
            What::Promote(order) => order.give(&server, "promote"),
            What::Pause(order) => order.give(&server, "pause"),
            What::Resume(order) => order.give(&server, "resume"),
            What::Abort(order) => order.give(&server, "abort"),
            What::History { asked, all } => {
                let query = if all { "/history?all=true" } else { "/history" };
                print(asked.json.json, &server.get(&path(&asked.release, query))?, show::history)
            }
            What::Explain(asked) => {
                print(asked.json.json, &server.get(&path(&asked.release, "/explain"))?, show::explanation)
            }
            What::Check(_) => Ok(()),
        }
    }
}

impl Order {
    fn give(&self, server: &Remote, what: &str) -> anyhow::Result<()> {
        let body = self.why.as_ref().map_or_else(|| json!({}), |why| json!({ "why": why }));
        let answer = server.post(&path(&self.asked.release, &format!("/{what}")), &body)?;
        print(self.asked.json.json, &answer, show::status)
    }
}

/// A part of a release.
fn path(release: &str, part: &str) -> String {
    format!("{RELEASES}/{}{part}", escaped(release))
}

/// Prints an answer for a person, or as it is.
fn print(json: bool, answer: &Value, text: impl Fn(&Value) -> String) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(answer)? } else { text(answer) };
    Ok(writeln!(std::io::stdout().lock(), "{}", text.trim_end())?)
}
