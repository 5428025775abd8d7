//! The commands of a chat: one table, for who reads it, who types it and who completes it.

/// A command as `/help` lists it.
pub(in crate::cmd) struct Entry {
    /// With its slash; other names it goes by behind it.
    pub(in crate::cmd) names: &'static [&'static str],
    pub(super) argument: &'static str,
    pub(super) help: &'static str,
}

const fn entry(names: &'static [&'static str], argument: &'static str, help: &'static str) -> Entry {
    Entry { names, argument, help }
}

/// Every command.
pub(in crate::cmd) const COMMANDS: &[Entry] = &[
    entry(&["/regenerate", "/retry"], "", "answer the last message again"),
    entry(&["/edit"], "[TEXT]", "change the last message and answer that"),
    entry(&["/undo"], "", "forget the last message and its answer"),
    entry(&["/clear"], "", "forget the conversation"),
    entry(&["/system"], "[TEXT|off]", "what the model is told before the conversation"),
    entry(&["/set"], "[NAME [VALUE]]", "how answers are chosen; no VALUE takes the model's"),
    entry(&["/tools"], "[FILE|off]", "functions the model may call: OpenAI's `tools` in JSON"),
    entry(&["/timings"], "", "show or hide the line about speed"),
    entry(&["/copy"], "", "put the last answer into the clipboard"),
    entry(&["/save"], "FILE", "write the conversation as JSON"),
    entry(&["/load"], "FILE", "go on with a conversation of a file"),
    entry(&["/multi"], "", "a message of several lines, up to /end"),
    entry(&["/help", "/?"], "", "this list"),
    entry(&["/quit", "/exit", "/bye"], "", "leave (or Ctrl-D)"),
];

/// What `/help` says after the list.
pub(super) const KEYS: &str = "\
Ctrl-C stops an answer and keeps what came of it; Tab completes commands; a line that ends with \\ goes on in the next one.
A message may begin with / behind a space.";

/// A line that begins with a slash: the command's first name and what is behind it.
pub(super) fn parse(line: &str) -> Result<(&'static str, &str), String> {
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match COMMANDS.iter().find(|entry| entry.names.contains(&name)) {
        Some(entry) if entry.argument.is_empty() && !argument.trim().is_empty() => {
            Err(format!("{name} takes nothing more"))
        }
        Some(entry) => Ok((entry.names[0], argument.trim())),
        None => {
            Err(format!("there is no command {name}; /help lists them (a message may begin with / behind a space)"))
        }
    }
}

/// The list as text.
pub(super) fn help() -> String {
    let line = |entry: &Entry| format!("{:<24}{}\n", format!("{} {}", entry.names[0], entry.argument), entry.help);
    COMMANDS.iter().map(line).collect::<String>() + KEYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_all_their_names() {
        assert_eq!(parse("/retry"), Ok(("/regenerate", "")));
        assert_eq!(parse("/set  temperature 0.5 "), Ok(("/set", "temperature 0.5")));
        assert_eq!(parse("/undo it"), Err("/undo takes nothing more".into()));
        assert!(parse("/nonsense").is_err_and(|why| why.contains("no command /nonsense; /help")));
    }
}
