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

/// A progress bar for each stage; where stderr is not a terminal nothing, or lines.
#[derive(Default)]
pub(crate) struct Bars {
    current: RefCell<Option<(String, ProgressBar)>>,
    /// The stage and the tenth of it that the last line told, if there are lines.
    told: Option<RefCell<(String, u64)>>,
}

impl Bars {
    /// No bar yet.
    pub(crate) fn new() -> Bars {
        Bars::default()
    }

    /// For work of minutes, whose log shall show how far it is: a line for each tenth of a stage where stderr is not a terminal.
    pub(crate) fn or_lines() -> Bars {
        Bars { told: Some(RefCell::default()), ..Bars::default() }
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
            let line = self.told.as_ref().and_then(|told| next_line(&mut told.borrow_mut(), stage, (done, total)));
            line.iter().for_each(|line| eprintln!("{line}"));
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

/// A line that says how far a stage is, unless the last one said so.
fn next_line(told: &mut (String, u64), stage: &str, (done, total): (u64, u64)) -> Option<String> {
    let tenth = (10 * done).checked_div(total).unwrap_or(0);
    if (told.0.as_str(), told.1) == (stage, tenth) {
        return None;
    }
    *told = (stage.to_owned(), tenth);
    Some(format!("{stage}: {} %", 10 * tenth))
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

#[cfg(test)]
mod tests {
    #[test]
    fn each_tenth_of_a_stage_is_told_once() {
        let mut told = Default::default();
        let mut check = |stage: &str, at: (u64, u64), wanted: Option<&str>| {
            assert_eq!(super::next_line(&mut told, stage, at).as_deref(), wanted, "{stage} {at:?}");
        };
        check("loading", (0, 90), Some("loading: 0 %"));
        check("loading", (8, 90), None);
        check("loading", (9, 90), Some("loading: 10 %"));
        check("loading", (17, 90), None);
        check("loading", (90, 90), Some("loading: 100 %"));
        check("measuring", (3, 3), Some("measuring: 100 %"));
        // Where there is nothing to count, the stage alone.
        check("waiting", (0, 0), Some("waiting: 0 %"));
        check("waiting", (5, 0), None);
    }
}
