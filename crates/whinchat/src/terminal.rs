//! What the person at the terminal sees beside the answer: progress, on stderr, only if it is a terminal.

use std::cell::RefCell;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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

    /// Shows that `done` of `total` bytes of `stage` are done.
    pub(crate) fn show(&self, stage: &str, done: u64, total: u64) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_none_or(|(name, _)| name != stage) {
            *current = Some((stage.to_owned(), bar(stage, total)));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
        }
    }
}

fn bar(stage: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(stage.to_owned());
    bar
}

/// Whether an error is only that the reader of stdout has gone (`| head`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>()).any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
