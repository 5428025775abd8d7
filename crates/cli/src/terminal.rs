//! What the person at the terminal sees: colours where they are wanted, light Markdown, and progress on stderr.

mod markdown;
mod screen;

use std::cell::RefCell;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) use markdown::{Markdown, visible};
pub(crate) use screen::{Screen, call_line, tagged};

/// Ends every style.
pub(crate) const RESET: &str = "\x1b[0m";
pub(crate) const BOLD: &str = "\x1b[1m";
/// For what stands beside the answer.
pub(crate) const DIM: &str = "\x1b[2m";
pub(crate) const CODE: &str = "\x1b[36m";

/// Whether `stream` takes colours: a terminal that is not dumb, and no NO_COLOR (no-color.org).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// `text` in a style, if `colours`.
pub(crate) fn styled(text: &str, style: &str, colours: bool) -> String {
    if colours { format!("{style}{text}{RESET}") } else { text.to_owned() }
}

/// A progress bar for each stage; nothing where stderr is not a terminal.
#[derive(Default)]
pub(crate) struct Bars {
    current: RefCell<Option<(String, ProgressBar)>>,
}

impl Bars {
    /// No bar yet.
    pub(crate) fn new() -> Bars {
        Bars::default()
    }

    /// Shows that `done` of `total` bytes of `stage` are done; only its name where there is nothing to count.
    pub(crate) fn show(&self, stage: &str, done: u64, total: u64) {
        let counted = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        self.advance(stage, done, total, if total == 0 { "{msg}" } else { counted });
    }

    /// Shows that `done` of `total` things of `stage` are done.
    pub(crate) fn count(&self, stage: &str, done: u64, total: u64) {
        self.advance(stage, done, total, "{msg} [{bar:30}] {pos}/{len} {eta}");
    }

    fn advance(&self, stage: &str, done: u64, total: u64, template: &str) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_none_or(|(name, _)| name != stage) {
            if let Some((_, bar)) = current.take() {
                bar.finish_and_clear();
            }
            *current = Some((stage.to_owned(), bar(stage, total, template)));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_position(done);
            if done >= total && total > 0 {
                bar.finish_and_clear();
            }
        }
    }
}

fn bar(stage: &str, total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(stage.to_owned());
    bar
}

/// Whether an error is only that the reader of stdout has gone (`| head`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>()).any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The error with its causes; a cause that the message before it already tells is not told again. What it quotes of files
/// cannot command the terminal.
pub(crate) fn whole_message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !message.contains(&cause) {
            message = if message.is_empty() { cause } else { format!("{message}: {cause}") };
        }
    }
    message.chars().map(visible).collect()
}

/// A name that a file gives, on one line and without commands to the terminal.
pub(crate) fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_whitespace() { ' ' } else { visible(c) }).collect()
}
