//! Asks a server for what it tells of itself.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

/// A server that takes longer to answer at all is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// One server.
pub(super) struct Client<'a> {
    agent: Agent,
    url: &'a str,
    key: Option<&'a str>,
}

impl<'a> Client<'a> {
    pub(super) fn new(url: &'a str, key: Option<&'a str>) -> Client<'a> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // It is nearly always this machine.
            .proxy(None)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE));
        Client { agent: config.build().new_agent(), url: url.trim_end_matches('/'), key }
    }

    /// What it tells, as long as it does.
    ///
    /// # Errors
    /// If the server is not there, refuses, or is another program. A message is an error if the connection fails.
    pub(super) fn messages(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Value>> + use<>> {
        let response = self.get("/v1/telemetry/stream")?;
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        Ok(lines.filter_map(|line| match line {
            Ok(line) => {
                let data = line.strip_prefix("data:")?;
                Some(serde_json::from_str(data).context("a message is no JSON"))
            }
            Err(error) => Some(Err(error).context("the connection was lost")),
        }))
    }

    fn get(&self, path: &str) -> anyhow::Result<Response<Body>> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(key) = self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.call().with_context(|| {
            format!("no server answers at {}; whinchat serve starts one, --server names another", self.url)
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: Option<Value> = response.body_mut().read_json().ok();
        match body.as_ref().and_then(|body| body.pointer("/error/message")?.as_str()) {
            Some(message) => bail!("{} answers {status}: {message}", self.url),
            None => bail!("{}{path} answers {status}: is it Whinchat?", self.url),
        }
    }
}
