//! `whinchat release watch`: a release as it goes, line by line.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use super::{path, show};
use crate::cmd::Exit;
use crate::cmd::remote::Remote;
use crate::terminal::visible;

/// Back to the beginning of the line, and what is there is gone.
const ANEW: &str = "\r\x1b[K";

/// Follows a release until it has ended: decisions stay, and below them stands how it goes.
///
/// # Errors
/// An [`Exit`] with the status 1 if the candidate was rolled back, and 3 if nothing was shown or somebody ended the release.
pub(super) fn follow(server: &Remote, release: &str, json: bool) -> anyhow::Result<()> {
    let mut shown = Shown { json, live: !json && std::io::stdout().is_terminal(), last: Value::Null };
    for message in server.events(&path(release, "/watch"))? {
        let message = message?;
        shown.show(&message)?;
        if message["kind"] == "ended" {
            return verdict(&message);
        }
    }
    anyhow::bail!("{} has ended the connection; the release goes on, watch it again", server.url)
}

/// How it ended, as an exit status.
fn verdict(decision: &Value) -> anyhow::Result<()> {
    let status = match decision["verdict"].as_str() {
        Some("promoted") => return Ok(()),
        Some("rolled_back") => 1,
        _ => 3,
    };
    Err(Exit { status, why: format!("{}: the stable variant answers everything", show::verdict(decision)) }.into())
}

/// What stands in the terminal.
struct Shown {
    json: bool,
    /// Whether the last line is written anew.
    live: bool,
    /// The stage, state and number of things it waits for that were told last, where lines stay.
    last: Value,
}

impl Shown {
    fn show(&mut self, message: &Value) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{message}")?;
        } else if !message["kind"].is_null() {
            let anew = if self.live { ANEW } else { "" };
            writeln!(out, "{anew}{}", show::decision(message))?;
        } else if self.live {
            let width = terminal_size::terminal_size().map_or(usize::MAX, |(width, _)| usize::from(width.0));
            let line: String = show::line(message).chars().map(visible).take(width.saturating_sub(1)).collect();
            write!(out, "{ANEW}{line}")?;
        } else if self.is_news(message) {
            writeln!(out, "{}", show::line(message))?;
        }
        out.flush()
    }

    /// Whether more than a number has changed.
    fn is_news(&mut self, release: &Value) -> bool {
        let waits = release["waits_for"].as_array().map_or(0, Vec::len);
        let news = serde_json::json!([release["state"], release["stage"], waits]);
        let is_news = news != self.last;
        self.last = news;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn verdicts_are_exit_statuses() {
        let check = |verdict: &str, expected: Option<u8>| {
            let ended = json!({ "kind": "ended", "verdict": verdict, "why": "numbers" });
            let status = super::verdict(&ended).err().map(|e| e.downcast_ref::<Exit>().expect("an exit").status);
            assert_eq!(status, expected, "{verdict}");
        };
        check("promoted", None);
        check("rolled_back", Some(1));
        check("inconclusive", Some(3));
        check("aborted", Some(3));
    }

    #[test]
    fn lines_that_stay_say_something_new() {
        let mut shown = Shown { json: false, live: false, last: Value::Null };
        let at = |stage: u64, stage_s: f64| json!({ "state": "running", "stage": stage, "stage_s": stage_s });
        let news: Vec<bool> = [at(0, 1.0), at(0, 2.0), at(1, 0.0)].iter().map(|r| shown.is_news(r)).collect();
        assert_eq!(news, [true, false, true]);
    }
}
