//! `whinchat models`: the models of a server that runs, through its admin API.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Map, Value, json};
use serve::KeepAlive;

use super::remote::{Remote, RemoteArgs, escaped};

/// List, load, swap and unload the models of a running server
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat models
  whinchat models load org/name:Q4_K_M --name small
  whinchat models swap small org/other --version 2026-11
  whinchat models rollback small
  whinchat models lora small tone=adapters/tone old=
  whinchat models --server http://127.0.0.1:8080 unload small

The server must have been started with --admin, and is asked on its own machine or with a key that may do so.")]
pub(crate) struct Models {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Print the server's answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// List models, their versions and what they do (without a command too)
    List,
    /// Load a model; it takes the place of the version that its name means
    Load(Load),
    /// Put another model in the place of one, without losing a request
    Swap(Swap),
    /// Take a model from memory; it is loaded again when it is asked for
    Unload(Named),
    /// Take a model away for good, or one version of it as NAME@VERSION
    Remove(Named),
    /// Let a name mean a version, also when newer ones come
    Pin {
        /// NAME@VERSION.
        #[arg(value_name = "NAME@VERSION")]
        name: String,
    },
    /// Let a name mean its newest version again
    Unpin(Named),
    /// Let a name mean the version before the one that it means now
    Rollback(Named),
    /// Give a model these other names, and no others
    Alias {
        #[command(flatten)]
        model: Named,
        /// Other names.
        #[arg(value_name = "ALIAS")]
        aliases: Vec<String>,
    },
    /// Load LoRA adapters beside a model, each as NAME=PATH, or take them away, as NAME=
    Lora {
        #[command(flatten)]
        model: Named,
        /// The adapter's name, and a folder of PEFT or a GGUF file on the server's machine; none takes it away.
        #[arg(value_name = "NAME=[PATH]", required = true, value_parser = adapter)]
        adapters: Vec<(String, Option<String>)>,
    },
    /// Set how long a model stays in memory when nobody uses it
    KeepAlive {
        #[command(flatten)]
        model: Named,
        /// 5m, 1h30m, a number of seconds, 0, or -1 for ever.
        #[arg(value_name = "DURATION", allow_hyphen_values = true)]
        keep_alive: KeepAlive,
    },
}

/// A model that the server knows.
#[derive(Args)]
struct Named {
    /// Its name, or NAME@VERSION.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Args)]
struct Load {
    /// A GGUF file or a folder on the server's machine, or a Hugging Face id.
    #[arg(value_name = "MODEL")]
    model: String,
    /// The name clients use [default: the model's own]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct Swap {
    /// The name whose model is replaced.
    #[arg(value_name = "NAME")]
    name: String,
    /// A GGUF file or a folder on the server's machine, or a Hugging Face id.
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    how: How,
}

/// How a model is loaded; what is not said is as for the server's first model.
#[derive(Args)]
struct How {
    /// What this version is called [default: the next number]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// How long it stays in memory when nobody uses it.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    keep_alive: Option<KeepAlive>,
    /// Longest sequence, prompt and answer.
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    /// Positions the KV cache holds over all sequences.
    #[arg(long, value_name = "TOKENS")]
    kv_tokens: Option<usize>,
    /// Sequences that run at once.
    #[arg(long, value_name = "N")]
    max_sequences: Option<usize>,
    /// A smaller model or an EAGLE-3 head that drafts for it, or mtp, its own layer for that: docs/speculation.md
    #[arg(long, value_name = "MODEL")]
    draft_model: Option<String>,
}

impl Models {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let server = Server(self.remote.remote()?);
        let (said, answer) = match self.what.unwrap_or(What::List) {
            What::List => {
                let answer = server.get()?;
                (table(&answer), answer)
            }
            What::Load(Load { model, name, how }) => server.load(&model, name.as_deref(), &how)?,
            What::Swap(Swap { name, model, how }) => {
                let known = server.get()?;
                let is_there = known["data"].as_array().is_some_and(|all| all.iter().any(|one| one["id"] == name));
                anyhow::ensure!(is_there, "{} has no model {name}; whinchat models lists them", server.0.url);
                server.load(&model, Some(&name), &how)?
            }
            What::Unload(Named { name }) => {
                server.change(&name, json!({ "loaded": false }), "is not in memory any more")?
            }
            What::Remove(Named { name }) => server.remove(&name)?,
            What::Pin { name } => {
                let (base, version) = name.rsplit_once('@').context("give the version too: NAME@VERSION")?;
                server.change(base, json!({ "pinned": version }), "is pinned")?
            }
            What::Unpin(Named { name }) => {
                server.change(&name, json!({ "pinned": null }), "means its newest version")?
            }
            What::Rollback(Named { name }) => server.change(&name, json!({ "roll_back": true }), "is rolled back")?,
            What::Alias { model, aliases } => {
                server.change(&model.name, json!({ "aliases": aliases }), "has its names")?
            }
            What::Lora { model, adapters } => {
                let adapters: Map<_, _> = adapters.into_iter().map(|(name, path)| (name, json!(path))).collect();
                server.change(&model.name, json!({ "adapters": adapters }), "has its adapters")?
            }
            What::KeepAlive { model, keep_alive } => {
                let keep_alive = keep_alive.to_string();
                server.change(&model.name, json!({ "keep_alive": keep_alive }), "stays as long as it shall")?
            }
        };
        let text = if self.json { serde_json::to_string_pretty(&answer)? } else { said };
        Ok(writeln!(std::io::stdout().lock(), "{}", text.trim_end())?)
    }
}

/// An adapter's name and where it is, if it shall be there.
fn adapter(text: &str) -> Result<(String, Option<String>), String> {
    let (name, path) = text.split_once('=').ok_or("give NAME=PATH, or NAME= to take it away")?;
    Ok((name.to_owned(), Some(path.to_owned()).filter(|path| !path.is_empty())))
}

/// The models of a server that runs.
struct Server(Remote);

/// What is said of what was done, and the server's answer.
type Done = (String, Value);

impl Server {
    fn get(&self) -> anyhow::Result<Value> {
        self.0.get(&path(""))
    }

    fn load(&self, model: &str, name: Option<&str>, how: &How) -> anyhow::Result<Done> {
        let mut order = Map::from_iter([("model".to_owned(), json!(model))]);
        let keep_alive = how.keep_alive.map(|keep_alive| keep_alive.to_string());
        let texts = [
            ("name", name),
            ("version", how.version.as_deref()),
            ("keep_alive", keep_alive.as_deref()),
            ("draft_model", how.draft_model.as_deref()),
        ];
        order.extend(texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), json!(text?)))));
        let counts = [("context", how.context), ("kv_tokens", how.kv_tokens), ("max_sequences", how.max_sequences)];
        order.extend(counts.into_iter().filter_map(|(field, count)| Some((field.to_owned(), json!(count?)))));
        let answer = self.0.post(&path(""), &Value::Object(order))?;
        let name = answer["model"]["id"].as_str().unwrap_or(model);
        let seconds = answer["load_ms"].as_f64().unwrap_or_default() / 1e3;
        let how = if answer["replaced"] == true { "took the place of the one before" } else { "is loaded" };
        let version = answer["version"].as_str().unwrap_or_default();
        Ok((format!("{name}@{version} {how} after {seconds:.1} s"), answer))
    }

    fn change(&self, name: &str, change: Value, done: &str) -> anyhow::Result<Done> {
        let answer = self.0.patch(&path(name), &change)?;
        let version = answer["model"]["version"].as_str().unwrap_or_default();
        Ok((format!("{name} {done} (it means version {version})"), answer))
    }

    fn remove(&self, name: &str) -> anyhow::Result<Done> {
        let answer = self.0.delete(&path(name))?;
        Ok((format!("{name} is removed"), answer))
    }
}

/// Where a model is; all of them without a name.
fn path(name: &str) -> String {
    let slash = if name.is_empty() { "" } else { "/" };
    format!("/admin/models{slash}{}", escaped(name))
}

/// A line for each version.
fn table(answer: &Value) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["NAME", "VERSION", "STATE", "RUNNING", "WAITING", "LEAVES", "SOURCE"]);
    for model in answer["data"].as_array().into_iter().flatten() {
        for version in model["versions"].as_array().into_iter().flatten() {
            table.add_row(row(model, version));
        }
    }
    for column in [3, 4] {
        table.column_mut(column).into_iter().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    let lines = table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    lines.join("\n")
}

fn row(model: &Value, version: &Value) -> [String; 7] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let current = model["version"] == version["version"];
    let mark = match (current, model["pinned"].is_null()) {
        (false, _) => "",
        (true, true) => " *",
        (true, false) => " * pinned",
    };
    let state = match (version["loaded"] == true, version["loading"] == true) {
        (true, _) => "in memory",
        (false, true) => "loading",
        (false, false) => "known",
    };
    let names = model["aliases"].as_array().map(|all| all.iter().map(text).collect::<Vec<_>>()).unwrap_or_default();
    let names = std::iter::once(text(&model["id"])).chain(names.into_iter().filter(|_| current));
    let count = |value: &Value| value.as_u64().map(|count| count.to_string()).unwrap_or_default();
    let leaves = version["expires_in"].as_f64().map(|seconds| format!("in {seconds:.0} s")).unwrap_or_default();
    [
        names.collect::<Vec<_>>().join(", "),
        text(&version["version"]) + mark,
        state.to_owned(),
        count(&version["running"]),
        count(&version["waiting"]),
        leaves,
        text(&version["source"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_listed() {
        let versions = json!([
            { "version": "1", "source": "a.gguf", "loaded": false, "loading": false, "expires_in": null },
            { "version": "2", "source": "b.gguf", "loaded": true, "running": 3, "waiting": 0, "expires_in": 29.6 },
        ]);
        let model = json!({ "id": "m", "version": "2", "pinned": null, "aliases": ["n"], "versions": versions });
        let text = table(&json!({ "data": [model] }));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["m", "1", "known", "a.gguf"]);
        assert_eq!(lines[2], ["m,", "n", "2", "*", "in", "memory", "3", "0", "in", "30", "s", "b.gguf"]);
    }

    #[test]
    fn models_are_found_by_their_names() {
        assert_eq!(path(""), "/admin/models");
        assert_eq!(path("org/a b:Q4@2"), "/admin/models/org/a%20b:Q4@2");
    }
}
