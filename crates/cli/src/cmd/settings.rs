//! The flags of `serve`: one for each setting, made from the table of settings. And what they, the environment and the file say
//! together.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use config::{Problems, Resolved, Setting, Sources};

use super::{demand, logging, network, routes, scheduling, security, services};

/// The flag that names the file.
const FILE: &str = "config";

/// What the command line says of settings.
#[derive(Clone, Default)]
pub(super) struct Given {
    /// The file with the others.
    pub(super) file: Option<PathBuf>,
    flags: Vec<(&'static Setting, String)>,
}

impl Given {
    /// A file, and no flags.
    pub(super) fn file(path: PathBuf) -> Given {
        Given { file: Some(path), flags: Vec::new() }
    }

    /// With this model, whatever else is said of it.
    pub(super) fn choose_model(&mut self, name: &str) {
        self.flags.extend(Setting::at("model.source").map(|setting| (setting, name.to_owned())));
    }

    /// The text of the file, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read(&self) -> anyhow::Result<Option<String>> {
        let read = |path: &PathBuf| {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{}: it is no text", path.display()))
        };
        self.file.as_ref().map(read).transpose()
    }

    /// What the file, of which this is the text, the environment and the flags say together, if all of it is possible.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn resolve(&self, text: Option<&str>, variables: &[(String, String)]) -> Result<Resolved, Problems> {
        let name = self.file.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        let file = text.map(|text| config::File { name: &name, text });
        let resolved = config::resolve(&Sources { file, variables, flags: &self.flags })?;
        let wrong = network::problems(&resolved.config)
            .into_iter()
            .chain(logging::problem(&resolved.config.log))
            .chain(security::problem(&resolved.config))
            .chain(demand::problem(&resolved.config))
            .chain(routes::problem(&resolved.config))
            .chain(scheduling::problem(&resolved.config))
            .chain(services::problem(&resolved.config));
        let problems: Vec<_> = wrong.map(|(path, why)| resolved.blame(path, why)).collect();
        if problems.is_empty() { Ok(resolved) } else { Err(Problems(problems)) }
    }

    /// As [`Given::resolve`], with the file and the environment as they are now.
    pub(super) fn resolve_now(&self) -> anyhow::Result<Resolved> {
        let resolved = self.resolve(self.read()?.as_deref(), &variables())?;
        resolved.notes.iter().for_each(|note| eprintln!("note: {note}"));
        Ok(resolved)
    }
}

/// Variables of the environment that may be settings.
pub(super) fn variables() -> Vec<(String, String)> {
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(&name), text(&value)));
    all.filter(|(name, _)| name.starts_with("WHINCHAT_")).collect()
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .env("WHINCHAT_CONFIG")
            .value_parser(clap::value_parser!(PathBuf));
        let help = "A file with settings, YAML or JSON: docs/configuration.md has them all. Environment variables and flags go before it";
        let command = command.arg(file.help(help));
        config::settings().iter().filter_map(flag).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Given, clap::Error> {
        let said = |setting: &'static Setting| {
            setting.flag.as_ref()?;
            let mut values = matches.get_many::<String>(&setting.path)?.map(String::as_str);
            let text =
                if setting.is_list() { values.collect::<Vec<_>>().join(",") } else { values.next_back()?.to_owned() };
            Some((setting, if is_negated(setting) { (text != "true").to_string() } else { text }))
        };
        Ok(Given { file: matches.get_one(FILE).cloned(), flags: config::settings().iter().filter_map(said).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Given::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A setting by the name of its flag or its path, and its value as text: `max-sequences=16`, `cache.prefixes=false`.
///
/// # Errors
/// If there is no such setting or it cannot have the value.
pub(super) fn assigned(text: &str) -> Result<(&'static Setting, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is no setting and its value: write NAME=VALUE"))?;
    let flag = name.trim_start_matches('-');
    let by_flag = config::settings().iter().find(|setting| setting.flag.as_deref() == Some(flag));
    let setting = by_flag.or_else(|| Setting::at(name));
    let setting = setting.ok_or_else(|| format!("there is no setting {name}; whinchat serve --help lists them"))?;
    let negated = by_flag.is_some() && is_negated(setting);
    let value = if negated { (value != "true").to_string() } else { value.to_owned() };
    setting.parse(&value).map_err(|why| format!("{name}: {why}"))?;
    Ok((setting, value))
}

/// Whether the flag of a switch turns it off.
fn is_negated(setting: &Setting) -> bool {
    setting.is_switch() && setting.default == true
}

/// The flag of a setting, if it has one.
fn flag(setting: &'static Setting) -> Option<Arg> {
    let arg = Arg::new(setting.path.as_str()).long(setting.flag.as_deref()?).help(help(setting));
    let arg = arg.value_name(setting.value_name.as_str()).help_heading(heading(setting)).allow_negative_numbers(true);
    let arg = setting.short.into_iter().fold(arg, Arg::short);
    let arg = if setting.is_list() { arg.action(ArgAction::Append) } else { arg };
    let choices = setting.choices();
    Some(match choices.is_empty() {
        _ if setting.is_switch() => switch(arg),
        true => arg.value_parser(|text: &str| setting.parse(text).map(|_| text.to_owned())),
        false => arg.value_parser(PossibleValuesParser::new(choices)),
    })
}

/// A flag that needs no value; with `=false` it takes back what the file says.
fn switch(arg: Arg) -> Arg {
    let arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL");
    arg.value_parser(["true", "false"]).hide_possible_values(true)
}

fn help(setting: &Setting) -> String {
    let about = &setting.about;
    match &setting.default {
        serde_json::Value::Null | serde_json::Value::Bool(_) => about.clone(),
        serde_json::Value::Array(items) if items.is_empty() => about.clone(),
        serde_json::Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(serde_json::Value::as_str).collect();
            format!("{about} [default: {}]", items.join(","))
        }
        serde_json::Value::String(text) => format!("{about} [default: {text}]"),
        other => format!("{about} [default: {other}]"),
    }
}

/// Settings in the help stand by section.
fn heading(setting: &'static Setting) -> Option<&'static str> {
    match setting.section() {
        Some("limits") => Some("Limits"),
        Some("cache") => Some("KV cache"),
        Some("demand") => Some("Models on demand"),
        Some("engine") => Some("Engine"),
        Some("network") => Some("Network"),
        Some("storage" | "log" | "telemetry") => Some("Storage and log"),
        _ => None,
    }
}

/// Options that other servers have.
#[derive(Args)]
pub(super) struct Elsewhere {
    #[arg(long, hide = true, value_parser = |port: &str| no_such("port", port))]
    port: Option<String>,
    #[arg(long, hide = true, value_parser = |host: &str| no_such("host", host))]
    host: Option<String>,
}

fn no_such(option: &str, value: &str) -> Result<String, String> {
    let listen = if option == "port" { format!("127.0.0.1:{value}") } else { format!("{value}:8000") };
    Err(format!("there is no --{option} here; write --listen {listen}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        given: Given,
    }

    fn given(words: &[&str]) -> Given {
        Line::try_parse_from([&["serve"], words].concat()).unwrap_or_else(|e| panic!("{e}")).given
    }

    #[test]
    fn flags_go_before_variables_and_these_before_the_file() {
        let check = |words: &[&str], variables: &[(&str, &str)], file: &str, wanted: (usize, bool)| {
            let variables: Vec<_> =
                variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let config = given(words).resolve(Some(file), &variables).unwrap_or_else(|e| panic!("{e}")).config;
            assert_eq!((config.engine.max_sequences, config.cache.prefixes), wanted, "{words:?}");
        };
        let (file, variables) =
            ("engine: { max_sequences: 2 }\ncache: { prefixes: false }", [("WHINCHAT_MAX_SEQUENCES", "3")]);
        check(&[], &[], "", (32, true));
        check(&[], &[], file, (2, false));
        check(&[], &variables, file, (3, false));
        check(&["--max-sequences", "4", "--no-prefix-cache=false"], &variables, file, (4, true));
        check(&["--no-prefix-cache"], &[], "", (32, false));
    }

    #[test]
    fn what_only_the_program_knows_is_checked_too() {
        let check = |file: &str, part: &str| {
            let problems =
                given(&["--config", "w.yaml"]).resolve(Some(file), &[]).expect_err("it is wrong").to_string();
            assert!(problems.contains(part), "{problems}");
        };
        check(
            "network:\n  allowed_origins: [example.com]",
            "w.yaml:2:20: network.allowed_origins: \"example.com\" is no origin",
        );
        check("log:\n  filter: serve=loud", "w.yaml:2:11: log.filter: ");
    }

    /// What may be asked for is written down where it is opened and allocated too.
    #[test]
    fn ranges_are_those_of_the_library() {
        use whinchat::bounds;
        let ranges = [
            ("model.context", bounds::CONTEXT),
            ("cache.kv_tokens", bounds::KV_TOKENS),
            ("cache.prefix_tokens", bounds::KV_TOKENS),
            ("engine.max_batch_tokens", bounds::BATCH_TOKENS),
            ("engine.max_sequences", bounds::SEQUENCES),
            ("engine.threads", bounds::THREADS),
            ("engine.max_queue", bounds::QUEUE),
            ("engine.max_queue_tokens", bounds::QUEUE_TOKENS),
        ];
        for (path, range) in ranges {
            let schema = &Setting::at(path).unwrap_or_else(|| panic!("there is no {path}")).schema;
            assert_eq!([&schema["minimum"], &schema["maximum"]], [range.start(), range.end()], "{path}");
        }
    }

    /// A configuration of nothing is what the server and the engine do by themselves.
    #[test]
    fn defaults_are_those_of_the_library() {
        let config = config::Config::default();
        let engine = scheduling::engine(&config);
        assert_eq!(engine, whinchat::EngineConfig::default());
        let settings = network::settings(&config, None).expect("they are possible");
        let own = serve::http::Settings::default();
        assert_eq!(
            serve::http::Settings { max_connections: own.max_connections, access: own.access.clone(), ..settings },
            own
        );
    }
}
