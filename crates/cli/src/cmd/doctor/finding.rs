//! What a check has found.

use std::fmt;

use serde_json::{Value, json};

use crate::terminal::visible;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Fine,
    /// The server starts, and something of it is not as it could be.
    Warning,
    /// The server does not start, or does not do what it was told to.
    Fails,
}

/// A finding: what was looked at, what is, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) what: String,
    pub(super) fix: Option<String>,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Verdict::Fine => "ok",
            Verdict::Warning => "warning",
            Verdict::Fails => "would fail",
        }
    }
}

impl Finding {
    pub(super) fn fine(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Fine, what: what.into(), fix: None }
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Warning, what: what.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fails(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Fails, what: what.into(), fix: Some(fix.into()) }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "check": self.check, "verdict": self.verdict.name(), "message": self.what, "fix": self.fix })
    }
}

impl fmt::Display for Finding {
    /// What it quotes of files cannot command the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| text.trim_end().replace('\n', "\n  ").chars().map(visible).collect::<String>();
        writeln!(f, "{:<10}  {:<13}  {}", self.verdict.name(), self.check, shown(&self.what))?;
        self.fix.iter().try_for_each(|fix| writeln!(f, "{:<10}  {:<13}  -> {}", "", "", shown(fix)))
    }
}
