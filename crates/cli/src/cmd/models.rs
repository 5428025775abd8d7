//! `whinchat models`: the models of a server that runs, through its admin API.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Map, Value, json};
use serve::KeepAlive;

/// List, load, swap and unload the models of a running server
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat models
  whinchat models load org/name:Q4_K_M --name small
  whinchat models swap small org/other --version 2026-11
  whinchat models rollback small
  whinchat models --server http://127.0.0.1:8080 unload small

The server must have been started with --admin, and is asked on its own machine or with a key that may do so.")]
pub(crate) struct Models {
    /// Where the server is.
    #[arg(long, value_name = "URL", global = true, default_value = "http://127.0.0.1:8000", env = "WHINCHAT_SERVER")]
    server: String,
    /// A key of the server, where it wants one.
    #[arg(long, value_name = "KEY", global = true, env = "WHINCHAT_API_KEY", hide_env_values = true)]
    key: Option<String>,
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
}

impl Models {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let server = Server::new(&self.server, self.key.as_deref())?;
        let (said, answer) = match self.what.unwrap_or(What::List) {
            What::List => {
                let answer = server.get()?;
                (table(&answer), answer)
            }
            What::Load(Load { model, name, how }) => server.load(&model, name.as_deref(), &how)?,
            What::Swap(Swap { name, model, how }) => {
                let known = server.get()?;
                let is_there = known["data"].as_array().is_some_and(|all| all.iter().any(|one| one["id"] == name));
                anyhow::ensure!(is_there, "{} has no model {name}; whinchat models lists them", self.server);
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
            What::KeepAlive { model, keep_alive } => {
                let keep_alive = keep_alive.to_string();
                server.change(&model.name, json!({ "keep_alive": keep_alive }), "stays as long as it shall")?
            }
        };
        let text = if self.json { serde_json::to_string_pretty(&answer)? } else { said };
        Ok(writeln!(std::io::stdout().lock(), "{}", text.trim_end())?)
    }
}

/// A server that runs.
struct Server {
    url: String,
    /// The header with the key, or one that says nothing new.
    header: (&'static str, String),
    agent: ureq::Agent,
}

/// What is said of what was done, and the server's answer.
type Done = (String, Value);

impl Server {
    fn new(url: &str, key: Option<&str>) -> anyhow::Result<Server> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        if rest.is_none_or(str::is_empty) {
            bail!("--server {url}: it must begin with http:// or https:// and name a host: http://127.0.0.1:8000");
        }
        let agent = ureq::Agent::config_builder()
            // The server is on this machine, or near.
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let header = match key {
            Some(key) => ("authorization", format!("Bearer {key}")),
            None => ("accept", "application/json".to_owned()),
        };
        Ok(Server { url: url.trim_end_matches('/').to_owned(), header, agent })
    }

    fn get(&self) -> anyhow::Result<Value> {
        self.answer(self.agent.get(self.path("")).header(self.header.0, &self.header.1).call())
    }

    fn load(&self, model: &str, name: Option<&str>, how: &How) -> anyhow::Result<Done> {
        let mut order = Map::from_iter([("model".to_owned(), json!(model))]);
        let keep_alive = how.keep_alive.map(|keep_alive| keep_alive.to_string());
        let texts = [("name", name), ("version", how.version.as_deref()), ("keep_alive", keep_alive.as_deref())];
        order.extend(texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), json!(text?)))));
        let counts = [("context", how.context), ("kv_tokens", how.kv_tokens), ("max_sequences", how.max_sequences)];
        order.extend(counts.into_iter().filter_map(|(field, count)| Some((field.to_owned(), json!(count?)))));
        let request = self.agent.post(self.path("")).header(self.header.0, &self.header.1);
        let answer = self.answer(request.send_json(Value::Object(order)))?;
        let name = answer["model"]["id"].as_str().unwrap_or(model);
        let seconds = answer["load_ms"].as_f64().unwrap_or_default() / 1e3;
        let how = if answer["replaced"] == true { "took the place of the one before" } else { "is loaded" };
        let version = answer["version"].as_str().unwrap_or_default();
        Ok((format!("{name}@{version} {how} after {seconds:.1} s"), answer))
    }

    fn change(&self, name: &str, change: Value, done: &str) -> anyhow::Result<Done> {
        let answer =
            self.answer(self.agent.patch(self.path(name)).header(self.header.0, &self.header.1).send_json(change))?;
        let version = answer["model"]["version"].as_str().unwrap_or_default();
        Ok((format!("{name} {done} (it means version {version})"), answer))
    }

    fn remove(&self, name: &str) -> anyhow::Result<Done> {
        let answer = self.answer(self.agent.delete(self.path(name)).header(self.header.0, &self.header.1).call())?;
        Ok((format!("{name} is removed"), answer))
    }

    fn path(&self, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/:@".contains(&byte);
        let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        format!("{}/admin/models{slash}{}", self.url, name.bytes().map(letter).collect::<String>())
    }

    /// The server's answer, if it did what it was asked.
    fn answer(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Value> {
        let mut answer = answer.map_err(|error| {
            anyhow::anyhow!(
                "no server answers at {}: {error}; start one with whinchat serve --admin, or say where it is with --server",
                self.url
            )
        })?;
        let text = answer.body_mut().read_to_string().context("reading the server's answer")?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if answer.status().is_success() && body.is_object() {
            return Ok(body);
        }
        match body["error"]["message"].as_str() {
            Some(message) => bail!("{}: {}", self.url, message.trim_end_matches('.')),
            None => bail!("{} is no server of whinchat: it answers HTTP {}", self.url, answer.status().as_u16()),
        }
    }
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
    fn addresses_and_names_are_checked() {
        for wrong in ["", "localhost:8000", "ftp://host", "http://"] {
            assert!(Server::new(wrong, None).is_err(), "{wrong}");
        }
        let server = Server::new("http://127.0.0.1:8000/", None).expect("an address");
        assert_eq!(server.path(""), "http://127.0.0.1:8000/admin/models");
        assert_eq!(server.path("org/a b:Q4@2"), "http://127.0.0.1:8000/admin/models/org/a%20b:Q4@2");
    }

    /// A server that is not there is told with what helps.
    #[test]
    fn nobody_answers() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", socket.local_addr().expect("an address"));
        drop(socket);
        let error = Server::new(&url, None).and_then(|server| server.get()).expect_err("nobody is there").to_string();
        assert!(error.contains(&url) && error.contains("--admin"), "{error}");
    }
}
