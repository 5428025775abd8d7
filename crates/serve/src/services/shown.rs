//! What a server says of the stages that are elsewhere: in `/health`, `/metrics` and `/memory/usage`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Elsewhere;
use super::ledger::Asked;
use crate::App;

impl App {
    /// Says of these services in `/health` and `/metrics` how they answer. Only the first call counts.
    pub fn asks_services(&self, elsewhere: Vec<Arc<dyn Elsewhere>>) {
        let _ = self.outside.services.set(elsewhere);
    }

    fn elsewhere(&self) -> &[Arc<dyn Elsewhere>] {
        self.outside.services.get().map_or(&[], Vec::as_slice)
    }
}

/// Each service that is elsewhere, by name; `None` if none is.
pub(crate) fn health(app: &App) -> Option<Value> {
    told(app, |stage| stage.ledger().health())
}

/// What each of them takes of the memory; `None` if none is elsewhere.
pub(crate) fn memory(app: &App) -> Option<Value> {
    told(app, |stage| json!({ "url": stage.ledger().place(), "resident_bytes": stage.resident_bytes() }))
}

fn told(app: &App, tell: impl Fn(&dyn Elsewhere) -> Value) -> Option<Value> {
    let all: Map<String, Value> =
        app.elsewhere().iter().map(|stage| (stage.ledger().name().to_owned(), tell(&**stage))).collect();
    (!all.is_empty()).then_some(Value::Object(all))
}

/// What was asked of each, as Prometheus reads it; empty if none is elsewhere.
pub(crate) fn metrics(app: &App, is_openmetrics: bool) -> String {
    type Column = (&'static str, &'static str, fn(&Asked) -> f64);
    let columns: [Column; 5] = [
        ("calls", "Questions to services that are elsewhere", |asked| asked.calls as f64),
        ("failures", "Questions without an answer that could be used", |asked| asked.failed as f64),
        ("seconds", "Seconds that all of them took", |asked| asked.micros as f64 / 1e6),
        ("sent_bytes", "Bytes of the questions", |asked| asked.sent as f64),
        ("received_bytes", "Bytes of the answers", |asked| asked.received as f64),
    ];
    let mut text = String::new();
    // The older form has the samples' name there.
    let suffix = if is_openmetrics { "" } else { "_total" };
    for (column, help, value) in columns.iter().filter(|_| !app.elsewhere().is_empty()) {
        text += &format!(
            "# HELP whinchat_asked_{column}{suffix} {help}.\n# TYPE whinchat_asked_{column}{suffix} counter\n"
        );
        for ledger in app.elsewhere().iter().map(|stage| stage.ledger()) {
            let (name, value) = (ledger.name(), value(&ledger.asked()));
            text += &format!("whinchat_asked_{column}_total{{service=\"{name}\"}} {value}\n");
        }
    }
    text
}
