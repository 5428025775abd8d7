//! Every command line that the documents show is one that the program takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::Cli;
use super::chat::COMMANDS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents: name and text.
fn documents() -> Vec<(String, String)> {
    let folders = ["", "docs", "models/whinchat-demo"].map(|name| root().join(name));
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let pages = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "md"));
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("readable"))
    };
    pages.map(read).collect()
}

/// What a document shows as code: lines of shell blocks (those that end with a backslash joined), and code in text.
fn code(text: &str) -> Vec<String> {
    let (mut found, mut block, mut open) = (Vec::new(), None, String::new());
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), block) {
            (Some(_), Some(_)) => block = None,
            (Some(language), None) => block = Some(matches!(language, "sh" | "bash" | "shell" | "console")),
            (None, Some(true)) => {
                open.push_str(line.trim_end_matches('\\'));
                if !line.ends_with('\\') {
                    found.push(std::mem::take(&mut open));
                }
            }
            (None, Some(false)) => {}
            (None, None) => found.extend(inline(line).map(str::to_owned)),
        }
    }
    found
}

/// What stands between backticks in a line of text.
fn inline(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The commands of a line of shell, as words; what is put into brackets is taken, not left out.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut word, mut quote) = (vec![Vec::new()], None::<String>, None);
    let end = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>| {
        commands.last_mut().expect("one").extend(word.take());
    };
    for c in line.chars() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            ('|' | ';' | '&' | '<' | '>' | '(' | ')', None) => {
                end(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            ('[' | ']', None) => {}
            (c, None) if c.is_whitespace() => end(&mut word, &mut commands),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut commands);
    commands
}

/// The arguments of `whinchat` in the words of a command, if it is that or what builds and runs it.
fn arguments(words: &[String]) -> Option<&[String]> {
    let from = words.iter().position(|word| word != "$" && !word.contains('='))?;
    let words = &words[from..];
    match words {
        [program, rest @ ..] if program == "whinchat" || program.ends_with("/whinchat") => Some(rest),
        [cargo, run, rest @ ..] if cargo == "cargo" && run == "run" => {
            let split = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
            let other =
                rest[..split].iter().any(|word| matches!(word.as_str(), "--example" | "--package" | "-p" | "--bin"));
            (!other).then(|| rest.get(split + 1..).unwrap_or_default())
        }
        _ => None,
    }
}

/// Why the program does not take `arguments`. The name of a command alone is no command line.
fn refusal(arguments: &[String]) -> Option<String> {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    if let [name] = arguments
        && Cli::command().find_subcommand(name).is_some()
    {
        return None;
    }
    let words = std::iter::once("whinchat").chain(arguments.iter().map(String::as_str));
    let error = Cli::try_parse_from(words).err().filter(|e| !matches!(e.kind(), DisplayHelp | DisplayVersion))?;
    Some(error.to_string())
}

#[test]
fn every_command_line_of_the_documents_parses() {
    let mut problems = Vec::new();
    let mut count = 0;
    for (name, text) in documents() {
        for line in code(&text) {
            for arguments in commands(&line).iter().filter_map(|words| arguments(words)) {
                count += 1;
                problems.extend(refusal(arguments).map(|why| format!("{name}: {line}\n{why}")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 40, "only {count} command lines were found");
}

#[test]
fn every_example_of_the_help_parses() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  ")) {
            let shown = commands(line);
            let examples: Vec<&[String]> = shown.iter().filter_map(|words| arguments(words)).collect();
            assert!(!examples.is_empty(), "{}: {line} is no example", command.get_name());
            for example in examples {
                assert_eq!(refusal(example), None, "{}: {line}", command.get_name());
            }
        }
    }
}

/// The cells of a table's second column.
fn second_cells(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1))
}

#[test]
fn every_counterpart_of_a_peers_flag_is_there() {
    let program = Cli::command();
    let arguments = program.get_subcommands().flat_map(clap::Command::get_arguments);
    let flags: BTreeSet<String> = arguments.filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
    let page = std::fs::read_to_string(root().join("docs/coming-from.md")).expect("the page");
    let mut count = 0;
    for word in second_cells(&page).flat_map(inline).filter_map(|code| code.split([' ', '=']).next()) {
        let known = match word.chars().next() {
            Some('-') => flags.contains(word),
            Some('/') => COMMANDS.iter().any(|entry| entry.names.contains(&word)),
            _ => continue,
        };
        assert!(known, "docs/coming-from.md: there is no {word}");
        count += 1;
    }
    assert!(count > 60, "only {count} counterparts were found");
}
