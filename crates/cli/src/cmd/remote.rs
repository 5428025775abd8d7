//! A server that runs, asked over HTTP by the commands that change it.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Which server, and how it is told who asks.
#[derive(Args)]
pub(super) struct RemoteArgs {
    /// Where the server is.
    #[arg(long, value_name = "URL", global = true, default_value = "http://127.0.0.1:8000", env = "WHINCHAT_SERVER")]
    server: String,
    /// A key of the server, where it wants one.
    #[arg(long, value_name = "KEY", global = true, env = "WHINCHAT_API_KEY", hide_env_values = true)]
    key: Option<String>,
}

impl RemoteArgs {
    /// # Errors
    /// If what is given is no address.
    pub(super) fn remote(&self) -> anyhow::Result<Remote> {
        Remote::new(&self.server, self.key.as_deref())
    }
}

/// A server that runs.
pub(super) struct Remote {
    pub(super) url: String,
    /// The header with the key, or one that says nothing new.
    header: (&'static str, String),
    agent: Agent,
}

type Sent = Result<Response<Body>, ureq::Error>;

impl Remote {
    pub(super) fn new(url: &str, key: Option<&str>) -> anyhow::Result<Remote> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        if rest.is_none_or(str::is_empty) {
            bail!("--server {url}: it must begin with http:// or https:// and name a host: http://127.0.0.1:8000");
        }
        let agent = Agent::config_builder()
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
        Ok(Remote { url: url.trim_end_matches('/').to_owned(), header, agent })
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.answer(self.agent.get(self.at(path)).header(self.header.0, &self.header.1).call())
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.agent.post(self.at(path)).header(self.header.0, &self.header.1).send_json(body))
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.agent.patch(self.at(path)).header(self.header.0, &self.header.1).send_json(body))
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.answer(self.agent.delete(self.at(path)).header(self.header.0, &self.header.1).call())
    }

    /// The messages of a stream of server-sent events, as long as it lasts.
    ///
    /// # Errors
    /// If the server is not there or refuses. A message is an error if the connection fails.
    pub(super) fn events(&self, path: &str) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Value>> + use<>> {
        let sent = self.agent.get(self.at(path)).header(self.header.0, &self.header.1).call();
        let answer = sent.map_err(|error| self.silent(&error))?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer));
        }
        let lines = BufReader::new(answer.into_body().into_reader()).lines();
        Ok(lines.filter_map(|line| match line {
            Ok(line) => {
                let data = line.strip_prefix("data:")?.trim();
                Some(serde_json::from_str(data).context("a message is no JSON"))
            }
            Err(error) => Some(Err(error).context("the connection was lost")),
        }))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The server's answer, if it did what it was asked.
    fn answer(&self, sent: Sent) -> anyhow::Result<Value> {
        let mut answer = sent.map_err(|error| self.silent(&error))?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer));
        }
        let body = answer.body_mut().read_to_string().context("reading the server's answer")?;
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        anyhow::ensure!(body.is_object(), "{} is no server of whinchat: its answer is no JSON object", self.url);
        Ok(body)
    }

    fn silent(&self, error: &ureq::Error) -> anyhow::Error {
        anyhow::anyhow!(
            "no server answers at {}: {error}; start one with whinchat serve --admin, or say where it is with --server",
            self.url
        )
    }

    fn refusal(&self, mut answer: Response<Body>) -> anyhow::Error {
        let body = answer.body_mut().read_to_string().unwrap_or_default();
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        match body["error"]["message"].as_str() {
            Some(message) => anyhow::anyhow!("{}: {}", self.url, message.trim_end_matches('.')),
            None => {
                anyhow::anyhow!("{} is no server of whinchat: it answers HTTP {}", self.url, answer.status().as_u16())
            }
        }
    }
}

/// A name as a part of a path.
pub(super) fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/:@".contains(&byte);
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_checked() {
        for wrong in ["", "localhost:8000", "ftp://host", "http://"] {
            assert!(Remote::new(wrong, None).is_err(), "{wrong}");
        }
        let server = Remote::new("http://127.0.0.1:8000/", None).expect("an address");
        assert_eq!(server.at("/admin/models"), "http://127.0.0.1:8000/admin/models");
        assert_eq!(escaped("org/a b:Q4@2"), "org/a%20b:Q4@2");
    }

    /// A server that is not there is told with what helps.
    #[test]
    fn nobody_answers() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", socket.local_addr().expect("an address"));
        drop(socket);
        let error = Remote::new(&url, None).and_then(|s| s.get("/admin/models")).expect_err("nobody").to_string();
        assert!(error.contains(&url) && error.contains("--admin"), "{error}");
    }
}
