//! What is said of steps and requests, and that the page names every metric.

use std::collections::BTreeMap;
use std::time::Duration;

use telemetry::{Foretold, Metrics, Now, Progress, Request, Routed, Step};

fn seconds(seconds: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(seconds))
}

#[test]
fn what_happened_is_told() {
    let metrics = Metrics::default();
    let model = metrics.model("a \"b\"");
    let step = Step { prefill_rows: 30, decode_rows: 2, found: 10, tokens: 3, preempted: 1, ..Step::default() };
    model.step(&Step { took: Duration::from_millis(20), since_last: seconds(0.03), ..step });
    model.step(&Step { found: 5, ..Step::default() });
    let request = Request {
        queued: seconds(0.5),
        first_token: seconds(1.0),
        last_token: seconds(3.0),
        prompt: 45,
        generated: 5,
        answers: 1,
        reason: "stop",
        drafts: (9, 6),
        model_drafts: (3, 2),
        head_drafts: (4, 3),
        repetition: None,
        foretold: Some(Foretold {
            least: Duration::from_millis(500),
            likely: Duration::from_millis(750),
            most: Duration::from_secs(1),
        }),
    };
    model.ended(&request);
    let never = Request {
        queued: None,
        first_token: None,
        last_token: None,
        generated: 0,
        drafts: (0, 0),
        model_drafts: (0, 0),
        head_drafts: (0, 0),
        reason: "abort",
        ..request
    };
    metrics.model("a \"b\"").ended(&never);
    model.now(Now { running: 3, waiting: 4, kv_usage: 0.25, states: [2, 7], engines: [1, 1] });
    let text = metrics.render();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("vllm:{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse::<f64>().expect("a number")
    };
    let of = r#"{model_name="a \"b\""}"#;
    for (source, drafted, accepted) in [("lookup", 2, 1), ("model", 3, 2), ("head", 4, 3)] {
        for (what, count) in [("draft", drafted), ("accepted", accepted)] {
            let labels = format!(r#"{{model_name="a \"b\"",source="{source}"}}"#);
            assert!(text.contains(&format!("spec_decode_num_{what}_tokens_total{labels} {count}\n")), "{text}");
        }
    }
    for name in ["engines", "engines_failed"] {
        assert!(text.contains(&format!("whinchat_{name}{of} 1\n")), "{text}");
    }
    for (name, wanted) in [
        ("prompt_tokens_total", 45.0),
        ("generation_tokens_total", 3.0),
        ("prefix_cache_hits_total", 15.0),
        ("num_preemptions_total", 1.0),
        ("num_requests_running", 3.0),
        ("num_requests_waiting", 4.0),
        ("kv_cache_usage_perc", 0.25),
        ("recurrent_states_used", 2.0),
        ("recurrent_states_kept", 7.0),
        ("step_seconds_count", 1.0),
        ("inter_token_latency_seconds_count", 2.0),
        ("inter_token_latency_seconds_sum", 0.06),
        ("request_queue_time_seconds_sum", 0.5),
        ("time_to_first_token_seconds_sum", 1.0),
        ("e2e_request_latency_seconds_count", 1.0),
        ("request_time_per_output_token_seconds_sum", 0.5),
        ("request_prompt_tokens_count", 2.0),
        ("first_token_prediction_error_sum", 0.25),
    ] {
        let got = value(&format!("{name}{of}"));
        assert!((got - wanted).abs() < 1e-9, "{name}: {got}, not {wanted}");
    }
    assert_eq!(value(r#"first_token_predictions_total{model_name="a \"b\"",bounds="inside"}"#), 1.0);
    for reason in ["stop", "abort"] {
        assert_eq!(value(&format!(r#"request_success_total{{model_name="a \"b\"",finished_reason="{reason}"}}"#)), 1.0);
    }
    metrics.anomalies([("m", "surge"), ("m", "surge")].into_iter());
    assert!(metrics.render().contains("whinchat_anomalies{model_name=\"m\",cause=\"surge\"} 2\n"));
    metrics.anomalies(std::iter::empty());
    assert!(!metrics.render().contains("whinchat_anomalies{"), "nothing is unusual any more");
    metrics.gone("a \"b\"");
    assert!(!metrics.render().contains("num_requests_running{"), "a model that is gone does nothing");
}

/// A release that is under way, one that has ended, and each thing that happens to requests of routes.
fn releases(metrics: &Metrics) {
    let releases = metrics.releases();
    releases.progress("r", "m@2", Progress { share: 0.25, stage: 1, evidence: 1.5 });
    releases.ended("other", "m@2", "promoted");
    for what in [Routed::Ended, Routed::Failed, Routed::FellBack, Routed::Marked] {
        releases.routed("r", "stable", what);
    }
}

#[test]
fn releases_are_told_while_they_are_under_way() {
    let metrics = Metrics::default();
    releases(&metrics);
    let check = |line: &str, there: bool| assert_eq!(metrics.render().contains(line), there, "{line}");
    check("whinchat_canary_traffic_percentage{route=\"r\",candidate=\"m@2\"} 25.0\n", true);
    check("whinchat_release_stage{route=\"r\",candidate=\"m@2\"} 1\n", true);
    check("whinchat_release_verdicts_total{route=\"other\",verdict=\"promoted\"} 1\n", true);
    check("whinchat_route_fallbacks_total{route=\"r\",variant=\"stable\"} 1\n", true);
    metrics.releases().ended("r", "m@2", "rolled_back");
    check("whinchat_canary_traffic_percentage{", false);
}

#[test]
fn the_page_names_every_metric() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).expect("a page");
    // A metric without values is not written.
    let metrics = Metrics::default();
    let model = metrics.model("m");
    model.now(Now::default());
    let (queued, first_token, last_token) = (seconds(0.0), seconds(0.1), seconds(0.3));
    let (reason, zero) = ("stop", Duration::ZERO);
    let foretold = Some(Foretold { least: zero, likely: zero, most: zero });
    model.ended(&Request {
        queued,
        first_token,
        last_token,
        prompt: 1,
        generated: 3,
        answers: 1,
        reason,
        drafts: (0, 0),
        model_drafts: (0, 0),
        head_drafts: (0, 0),
        repetition: None,
        foretold,
    });
    model.step(&Step { decode_rows: 1, ..Step::default() });
    model.cache(1, 16);
    metrics.build("1");
    metrics.reloads().ended("applied", false, 0);
    metrics.injected().one("error");
    metrics.anomalies([("m", "device_slow")].into_iter());
    releases(&metrics);
    let text = metrics.render_classic();
    let all = |what: &str| -> BTreeMap<&str, &str> {
        text.lines().filter_map(|line| line.strip_prefix(what)?.split_once(' ')).collect()
    };
    let (kinds, meanings) = (all("# TYPE "), all("# HELP "));
    let row =
        |(name, kind): (&&str, &&str)| format!("| `{name}` | {kind} | {} |", meanings[name].trim_end_matches('.'));
    let mut rows: Vec<_> = kinds.iter().map(row).collect();
    assert!(rows.len() > 25, "{text}");
    let mut found: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    rows.sort();
    found.sort();
    assert_eq!(rows, found, "docs/metrics.md must have these rows:\n{}", rows.join("\n"));
}

#[test]
fn the_dashboard_of_grafana_asks_for_metrics_that_there_are() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/../../{name}")).expect("a file");
    let (dashboard, page) = (read("deploy/grafana.json"), read("docs/metrics.md"));
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_');
    let names =
        dashboard.split(|c| !is_name(c)).filter(|word| word.starts_with("vllm:") || word.starts_with("whinchat_"));
    let mut asked = 0;
    for name in names {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(page.contains(&format!("| `{family}` |")), "there is no {name}");
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
}
