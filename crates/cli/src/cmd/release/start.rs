//! `whinchat release start`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::plan::PlanArgs;
use super::report::Report;
use super::{Json, RELEASES, print, show, watch};
use crate::cmd::remote::Remote;

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["candidate", "source", "from_report"])))]
#[command(
    override_usage = "whinchat release start [OPTIONS] <ROUTE> <CANDIDATE|--source <MODEL>|--from-report <FILE>>"
)]
pub(super) struct Start {
    /// A route, or a model's name.
    #[arg(value_name = "ROUTE")]
    route: String,
    /// The candidate, where the server knows it already: NAME or NAME@VERSION.
    #[arg(value_name = "CANDIDATE")]
    candidate: Option<String>,
    /// The candidate, where it does not: a GGUF file or a folder on the server's machine, or a Hugging Face id.
    #[arg(long, value_name = "MODEL")]
    source: Option<String>,
    /// The candidate from a lab report (report.json): the smallest variant that diverges by at most --divergence, or --variant.
    #[arg(long, value_name = "FILE")]
    from_report: Option<PathBuf>,
    /// Which variant of the report.
    #[arg(long, value_name = "NAME", requires = "from_report")]
    variant: Option<String>,
    /// What the candidate's version is called [default: the report's name for it, else the next number]
    #[arg(long, value_name = "VERSION", conflicts_with = "candidate")]
    version: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// What the release is called [default: what the report says of the candidate]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    #[command(flatten)]
    plan: PlanArgs,
    /// Follow it until it has ended, as watch does.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    json: Json,
}

/// Settings of the candidate, where they are not the server's: the same file with other settings is a candidate too.
#[derive(Args)]
struct Settings {
    /// The candidate's longest sequence, in tokens [default: the server's]
    #[arg(long, value_name = "TOKENS", conflicts_with = "candidate")]
    context: Option<usize>,
    /// Tokens that the candidate's KV cache holds [default: the server's]
    #[arg(long, value_name = "TOKENS", conflicts_with = "candidate")]
    kv_tokens: Option<usize>,
    /// Sequences that the candidate runs at once [default: the server's]
    #[arg(long, value_name = "N", conflicts_with = "candidate")]
    max_sequences: Option<usize>,
    /// A smaller model or an EAGLE-3 head that drafts for the candidate, or mtp, its own layer for that: docs/speculation.md
    #[arg(long, value_name = "MODEL", conflicts_with = "candidate")]
    draft_model: Option<String>,
}

impl Start {
    pub(super) fn run(&self, server: &Remote) -> anyhow::Result<()> {
        let release = server.post(RELEASES, &self.order()?)?;
        if !self.watch {
            return print(self.json.json, &release, show::status);
        }
        watch::follow(server, release["id"].as_str().unwrap_or("latest"), self.json.json)
    }

    /// What the server is asked for.
    fn order(&self) -> anyhow::Result<Value> {
        let mut order = Map::from_iter([("route".to_owned(), json!(self.route))]);
        let mut version = self.version.clone();
        let mut source = self.source.as_deref().map(found);
        if let Some(file) = &self.from_report {
            let report = Report::read(file)?;
            let variant = report.choose(self.variant.as_deref(), self.plan.divergence())?;
            eprintln!("{}", variant.sentence());
            version = version.or_else(|| Some(variant.version()));
            source = Some(variant.path.display().to_string());
            // Whoever looks at the release sees what was known of it before.
            order.insert("name".into(), json!(variant.sentence()));
            order.extend(variant.known());
        }
        let texts = [("candidate", self.candidate.clone()), ("source", source), ("version", version)];
        let draft_model = self.settings.draft_model.as_deref().map(found);
        let texts = texts.into_iter().chain([("name", self.name.clone()), ("draft_model", draft_model)]);
        order.extend(texts.filter_map(|(field, text)| Some((field.to_owned(), json!(text?)))));
        let Settings { context, kv_tokens, max_sequences, .. } = self.settings;
        let settings = [("context", context), ("kv_tokens", kv_tokens), ("max_sequences", max_sequences)];
        order.extend(settings.into_iter().filter_map(|(field, value)| Some((field.to_owned(), json!(value?)))));
        order.extend(self.plan.plan()?.map(|plan| ("plan".to_owned(), plan)));
        Ok(Value::Object(order))
    }
}

/// A file that is here is named as a server finds it, wherever that was started.
fn found(source: &str) -> String {
    let path = Path::new(source);
    let whole = path.exists().then(|| std::path::absolute(path).ok()).flatten();
    whole.map_or_else(|| source.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn parse(words: &[&str]) -> Result<Value, String> {
        let command = Start::augment_args(Command::new("start"));
        let matches = command.try_get_matches_from([&["start"], words].concat()).map_err(|e| e.to_string())?;
        Start::from_arg_matches(&matches).expect("its own").order().map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn a_release_is_ordered() {
        let check = |words: &[&str], expected: Value| assert_eq!(parse(words), Ok(expected), "{words:?}");
        check(&["chat", "m@2"], json!({ "route": "chat", "candidate": "m@2" }));
        let source = ["chat", "--source", "org/name", "--version", "q4", "--name", "a test"];
        let expected = json!({ "route": "chat", "source": "org/name", "version": "q4", "name": "a test" });
        check(&source, expected);
        let other = ["chat", "--source", "org/name", "--max-sequences", "4", "--context", "1024"];
        check(&other, json!({ "route": "chat", "source": "org/name", "max_sequences": 4, "context": 1024 }));
        let plan = json!({ "stages": [{ "share": 0.5 }] });
        check(&["chat", "m@2", "--stages", "50"], json!({ "route": "chat", "candidate": "m@2", "plan": plan }));
    }

    #[test]
    fn a_report_names_the_candidate() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("report.json");
        let text =
            r#"{"variants": [{"name": "q4", "path": "q4.gguf", "type": "Q4_K_M", "kl_mean": 0.02, "top1": 0.9}]}"#;
        std::fs::write(&file, text).expect("written");
        let order = parse(&["chat", "--from-report", file.to_str().expect("a path")]).expect("an order");
        let source = folder.path().join("q4.gguf").display().to_string();
        let name = "q4: Q4_K_M, 0.0200 nats per token of divergence, 90.0 % of the most likely tokens";
        let expected = json!({
            "route": "chat", "source": source, "version": "q4", "name": name, "weight_type": "Q4_K_M", "quality": { "same_top": 0.9 },
        });
        assert_eq!(order, expected);
    }

    #[test]
    fn there_is_one_candidate() {
        for wrong in [
            &["chat"][..],
            &["chat", "m@2", "--source", "x"],
            &["chat", "m@2", "--version", "2"],
            &["chat", "m@2", "--context", "64"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
