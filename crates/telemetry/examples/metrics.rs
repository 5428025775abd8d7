//! Every metric with a value, as `/metrics` has it: `cargo run -p whinchat-telemetry --example metrics | promtool check metrics`.

use std::time::Duration;

use telemetry::{Foretold, Metrics, Now, Request, Step};

fn main() {
    let metrics = Metrics::default();
    let model = metrics.model("a model");
    metrics.build(env!("CARGO_PKG_VERSION"));
    metrics.reloads().ended("applied", false, 0);
    metrics.anomalies([("a model", "device_slow")].into_iter());
    model.cache(4096, 16);
    model.now(Now { running: 3, waiting: 1, kv_usage: 0.25, states: [0, 0], engines: [1, 0] });
    model.step(&Step {
        prefill_rows: 64,
        decode_rows: 3,
        tokens: 3,
        took: Duration::from_millis(9),
        ..Step::default()
    });
    let [queued, first_token, last_token] = [1, 90, 800].map(|millis| Some(Duration::from_millis(millis)));
    let [least, likely, most] = [60, 80, 120].map(Duration::from_millis);
    let (prompt, generated, answers, reason) = (64, 40, 1, "stop");
    let foretold = Some(Foretold { least, likely, most });
    let repetition = Some(0.1);
    model.ended(&Request {
        queued,
        first_token,
        last_token,
        prompt,
        generated,
        drafts: (6, 4),
        model_drafts: (2, 2),
        head_drafts: (2, 1),
        answers,
        reason,
        repetition,
        foretold,
    });
    print!("{}", metrics.render_classic());
}
