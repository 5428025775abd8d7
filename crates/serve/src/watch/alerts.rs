//! Alerts: what becomes unusual, and what is over, is posted to an address, signed as Standard Webhooks says.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use telemetry::Anomaly;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::App;

/// Alerts that wait to be sent; more are left out.
const WAITING: usize = 256;

/// How often an alert is tried, and how long after the first failure it is tried again; each time twice as long.
const TRIES: u32 = 6;
const AGAIN: Duration = Duration::from_secs(1);

/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where alerts go.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The address they are posted to.
    pub url: String,
    /// What they are signed with; its bytes, not their base64.
    pub secret: Vec<u8>,
}

/// An alert, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    id: String,
    timestamp: u64,
    body: String,
}

/// The longest answer that is read.
const ANSWER: u64 = 1 << 16;

/// Takes alerts for who sends them.
pub(super) struct Alerts {
    messages: mpsc::Sender<Message>,
    webhook: Arc<Webhook>,
}

impl App {
    /// From now on anomalies are told to `webhook`. Only the first counts. To be called on the runtime that serves.
    pub fn alert(&self, webhook: Webhook) {
        let ((alerts, messages), webhook) = (mpsc::channel(WAITING), Arc::new(webhook));
        if self.watch.alerts.set(Alerts { messages: alerts, webhook: Arc::clone(&webhook) }).is_ok() {
            tokio::spawn(send_all(webhook, messages));
        }
    }
}

/// Seconds since 1970.
fn timestamp() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Alerts {
    /// Something has begun, has become clear or is over.
    pub(super) fn tell(&self, anomaly: &Anomaly) {
        self.send(Message::of(anomaly, timestamp()));
    }

    /// Something has happened that is no anomaly. The same id is given to the same thing.
    pub(super) fn announce(&self, event: &str, id: &str, data: &Value) {
        self.send(Message::about(event, id, data));
    }

    /// Asks whether something may happen: gives a reason against it, if there is one. No answer is none.
    pub(super) async fn consult(&self, event: &str, id: &str, data: &Value) -> Option<String> {
        let (webhook, message) = (Arc::clone(&self.webhook), Message::about(event, id, data));
        let answer = tokio::task::spawn_blocking(move || message.post(&webhook)).await;
        let answer = match answer.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(url = self.webhook.url, "nobody says whether it may happen: {error}");
                return None;
            }
        };
        let answer: Value = serde_json::from_str(&answer).ok()?;
        let why = || answer["why"].as_str().unwrap_or("the webhook said so").to_owned();
        (answer["veto"] == true).then(why)
    }

    fn send(&self, message: Message) {
        if let Err(error) = self.messages.try_send(message) {
            let id = error.into_inner().id;
            tracing::warn!(id, "an alert is left out: {WAITING} wait to be sent");
        }
    }
}

impl Message {
    fn of(anomaly: &Anomaly, timestamp: u64) -> Message {
        let event = if anomaly.until_ms.is_some() { "anomaly.ended" } else { "anomaly.began" };
        // The same id for the same thing: who has seen it may leave it out.
        let id = format!("{event}-{}-{}-{}", anomaly.id, anomaly.since_ms, anomaly.cause.as_str());
        let body = json!({ "type": event, "timestamp": timestamp, "data": anomaly }).to_string();
        Message { id, timestamp, body }
    }

    fn about(event: &str, id: &str, data: &Value) -> Message {
        let timestamp = timestamp();
        let body = json!({ "type": event, "timestamp": timestamp, "data": data }).to_string();
        Message { id: format!("{event}-{id}"), timestamp, body }
    }

    /// `v1,` and the base64 of the HMAC-SHA256 of the id, the time and the body, with dots between.
    fn signature(&self, secret: &[u8]) -> String {
        let Message { id, timestamp, body } = self;
        let mac = Hmac::<Sha256>::new_from_slice(secret).map(|mut mac| {
            mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
            mac.finalize().into_bytes()
        });
        // A key of any length will do.
        mac.map_or_else(|_| String::new(), |mac| format!("v1,{}", STANDARD.encode(mac)))
    }

    /// Posts it, and gives what is answered.
    fn post(&self, webhook: &Webhook) -> Result<String, String> {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).build();
        let request = config.new_agent().post(&webhook.url).content_type("application/json");
        let request = request.header("webhook-id", &self.id).header("webhook-timestamp", self.timestamp.to_string());
        let request = request.header("webhook-signature", self.signature(&webhook.secret));
        let mut answer = request.send(self.body.as_str()).map_err(|error| error.to_string())?;
        // That it was taken is what matters; what is no text says nothing.
        Ok(answer.body_mut().with_config().limit(ANSWER).read_to_string().unwrap_or_default())
    }
}

/// Sends alerts one after the other until nobody tells any more.
async fn send_all(webhook: Arc<Webhook>, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        send(&webhook, message).await;
    }
}

/// Tries until it is taken, or often enough. Meanwhile other alerts wait: their order says something.
async fn send(webhook: &Arc<Webhook>, message: Message) {
    let message = Arc::new(message);
    for again in (0..TRIES).map(|time| AGAIN * 2u32.pow(time)) {
        let (to, posted) = (Arc::clone(webhook), Arc::clone(&message));
        let posted = tokio::task::spawn_blocking(move || posted.post(&to)).await;
        match posted.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(_) => return,
            Err(error) => tracing::warn!(url = webhook.url, "an alert was not taken: {error}"),
        }
        // Nothing wakes it before its time.
        let _ = timeout(again, std::future::pending::<()>()).await;
    }
    tracing::error!(url = webhook.url, id = message.id, "an alert is given up");
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // The example of the specification's reference libraries.
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            timestamp: 1_614_265_330,
            body: "{\"test\": 2432232314}".to_owned(),
        };
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        assert_eq!(message.signature(&secret), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
    /// Takes one request: its head and its body.
    async fn taken(listener: TcpListener) -> (String, String) {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut text = String::new();
        loop {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.expect("bytes");
            text.push_str(std::str::from_utf8(&bytes[..read]).expect("text"));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if Some(body.len()) == length {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("it listens");
                return (head.to_owned(), body.to_owned());
            }
        }
    }

    #[tokio::test]
    async fn alerts_are_posted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/alerts", listener.local_addr().expect("an address"));
        let app = App::new();
        app.alert(Webhook { url, secret: b"key".to_vec() });
        let anomaly = Anomaly {
            id: 7,
            labels: telemetry::Labels::model("m"),
            symptom: telemetry::Symptom::SlowSteps,
            cause: telemetry::Cause::CoreTaken,
            message: "Steps take longer.".to_owned(),
            since_ms: 5,
            until_ms: None,
            evidence: Vec::new(),
        };
        app.watch.tell(&[anomaly]);
        let (head, body) = taken(listener).await;
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let (id, timestamp) =
            (header("webhook-id: ").to_owned(), header("webhook-timestamp: ").parse().expect("a time"));
        let message = Message { id, timestamp, body };
        assert_eq!(header("webhook-signature: "), message.signature(b"key"));
        let told: Value = serde_json::from_str(&message.body).expect("JSON");
        assert!(head.starts_with("POST /alerts ") && told["type"] == "anomaly.began", "{head} {told}");
        assert_eq!((&told["data"]["cause"], &told["data"]["model"]), (&json!("core_taken"), &json!("m")));
    }
}
