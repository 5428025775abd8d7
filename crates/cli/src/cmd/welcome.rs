//! `whinchat` alone: what there is to do, as commands that work when they are pasted, and at a terminal a choice of them.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Parser;

use super::Cli;

/// A command that needs nothing but this program, and what it is for.
struct Offer {
    args: &'static [&'static str],
    what: &'static str,
}

const OFFERS: &[Offer] = &[
    Offer { args: &["chat"], what: "talk with it" },
    Offer { args: &["serve"], what: "a chat page and OpenAI's API" },
    Offer { args: &["run", "Who are you?"], what: "one answer" },
];

/// What is offered where the tests of the built-in model are.
const EVAL: Offer = Offer { args: &["eval", "--suite", SUITE], what: "how good it is" };
const SUITE: &str = "models/whinchat-demo/eval";

const OTHER: &[&str] = &["chat", "--model", "Qwen/Qwen3-0.6B-GGUF"];

/// Says what there is to do; where a person sits at both ends, does what they choose.
pub(super) fn run() -> anyhow::Result<()> {
    let offers: Vec<&Offer> = OFFERS.iter().chain(Path::new(SUITE).is_dir().then_some(&EVAL)).collect();
    let asks = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut out = std::io::stdout().lock();
    out.write_all(page(&program(), &offers, asks).as_bytes())?;
    if !asks {
        return Ok(());
    }
    let chosen = choose(&mut std::io::stdin().lock(), &mut out, &offers)?;
    drop(out);
    let Some(offer) = chosen else { return Ok(()) };
    let command = Cli::try_parse_from(["whinchat"].iter().chain(offer.args))?.command;
    command.map_or(Ok(()), super::Command::run)
}

fn page(program: &str, offers: &[&Offer], numbered: bool) -> String {
    let commands: Vec<String> = offers.iter().map(|offer| shell(program, offer.args)).collect();
    let width = commands.iter().map(|c| c.chars().count()).max().unwrap_or_default();
    let mut page = format!(
        "Whinchat {} serves language models. A small one is built in, so this works now:\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for (number, (command, offer)) in (1..).zip(commands.iter().zip(offers)) {
        let mark = if numbered { format!("{number}") } else { " ".into() };
        page += &format!(" {mark} {command:width$}   {}\n", offer.what);
    }
    page += &format!(
        "\nWith a model of yours, a .gguf file, a folder or a name on Hugging Face:\n\n   {}\n",
        shell(program, OTHER)
    );
    page += &format!("\nEverything else: {program} help\n");
    page
}

/// Asks until the answer is one; none means to leave.
fn choose<'a>(
    input: &mut impl BufRead,
    out: &mut impl Write,
    offers: &[&'a Offer],
) -> std::io::Result<Option<&'a Offer>> {
    let mut line = String::new();
    loop {
        write!(out, "\n1 to {}, Enter for {}, q to leave: ", offers.len(), offers[0].args[0])?;
        out.flush()?;
        line.clear();
        if input.read_line(&mut line)? == 0 {
            writeln!(out)?;
            return Ok(None);
        }
        let number = match line.trim() {
            "" => 1,
            "q" | "quit" | "exit" => return Ok(None),
            other => offers
                .iter()
                .position(|offer| offer.args[0] == other)
                .map_or_else(|| other.parse().unwrap_or(0), |i| i + 1),
        };
        if let Some(offer) = offers.get(number.wrapping_sub(1)) {
            return Ok(Some(offer));
        }
    }
}

/// The name that starts this program again: as it was typed if that was a path, shortened if it is below this folder.
fn program() -> String {
    let Some(typed) = std::env::args_os().next() else { return "whinchat".into() };
    let path = Path::new(&typed);
    if path.components().count() < 2 {
        return "whinchat".into();
    }
    let below = std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    quoted(&below.filter(|path| path.components().count() > 1).unwrap_or(path.to_owned()).to_string_lossy())
}

/// A command line for a shell.
fn shell(program: &str, args: &[&str]) -> String {
    let args: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
    format!("{program} {}", args.join(" "))
}

/// A word for a shell, quoted if it must be.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:=+,@".contains(c);
    match () {
        () if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        () if !word.contains(['"', '$', '`', '\\', '!']) => format!("\"{word}\""),
        () => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_parses() {
        for args in OFFERS.iter().chain([&EVAL]).map(|offer| offer.args).chain([OTHER]) {
            let parsed = Cli::try_parse_from(["whinchat"].iter().chain(args));
            assert!(parsed.is_ok_and(|cli| cli.command.is_some()), "{args:?}");
        }
    }

    #[test]
    fn a_choice_is_a_number_a_name_or_nothing() {
        let offers: Vec<&Offer> = OFFERS.iter().collect();
        let check = |typed: &str, wanted: Option<&str>, questions: usize| {
            let mut out = Vec::new();
            let chosen = choose(&mut typed.as_bytes(), &mut out, &offers).expect("it reads");
            assert_eq!(chosen.map(|offer| offer.args[0]), wanted, "{typed:?}");
            assert_eq!(String::from_utf8_lossy(&out).matches("q to leave").count(), questions, "{typed:?}");
        };
        check("\n", Some("chat"), 1);
        check(" 2 \n", Some("serve"), 1);
        check("run\n", Some("run"), 1);
        check("q\n", None, 1);
        check("", None, 1);
        check("0\n-1\n99\nwhat?\n3\n", Some("run"), 5);
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        let check = |word: &str, wanted: &str| assert_eq!(quoted(word), wanted);
        check("target/release/whinchat", "target/release/whinchat");
        check("Who are you?", "\"Who are you?\"");
        check("", "\"\"");
        check("it's $5", r"'it'\''s $5'");
    }
}
