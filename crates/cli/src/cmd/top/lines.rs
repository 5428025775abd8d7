//! What is known of a server, as lines for a terminal.

use comfy_table::{CellAlignment, Table, presets};

use super::told::{Accuracy, Anomaly, Engine, Flow, Labels, Quantiles, Told};
use crate::terminal::{BOLD, CODE, one_line, styled};

/// Lists are cut here.
const MOST_TENANTS: usize = 5;
const MOST_FLOWS: usize = 8;
const MOST_ANOMALIES: usize = 6;

/// How it is to be shown.
pub(super) struct Lines<'a> {
    pub(super) told: &'a Told,
    /// The window over which things are compared.
    pub(super) window: &'a str,
    /// Whose server.
    pub(super) url: &'a str,
    /// Columns of the terminal.
    pub(super) width: usize,
    pub(super) colours: bool,
}

impl Lines<'_> {
    /// Everything, part by part.
    pub(super) fn all(&self) -> Vec<String> {
        let parts = [self.head(), self.anomalies(), self.engines(), self.tenants(), self.slowest(), self.predictions()];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.flat_map(|part| part.into_iter().chain([String::new()])).collect()
    }

    fn head(&self) -> Vec<String> {
        let Told { server, engines, cores, .. } = self.told;
        let busy: f64 = cores.iter().map(|core| core.busy).sum();
        let own = server.own_cores.map_or(String::new(), |own| format!(", {own:.1} with it"));
        let title = format!("whinchat {} at {}", one_line(&server.version), self.url);
        let up = format!("up {}, {busy:.1} of {} cores busy{own}", time(server.uptime_s * 1e3), cores.len());
        let sum = |number: fn(&Engine) -> u64| engines.iter().map(number).sum::<u64>();
        let rate = |number: fn(&super::told::Work) -> u64| {
            let steps = engines.iter().filter_map(|engine| engine.windows.first());
            steps.map(|steps| number(&steps.work) as f64 / steps.seconds.max(1.0)).sum::<f64>()
        };
        vec![
            self.heading(&format!("{title}   {up}")),
            self.cut(&format!(
                "{} running, {} waiting; a second: {} tokens generated, {} of prompts computed",
                sum(|engine| engine.now.running),
                sum(|engine| engine.now.waiting),
                count(rate(|work| work.tokens)),
                count(rate(|work| work.prefill_rows)),
            )),
        ]
    }

    fn engines(&self) -> Vec<String> {
        let heads = [
            "engine",
            "running",
            "waiting",
            "requests/s",
            "tokens/s",
            "first p50",
            "p90",
            "p99",
            "between p90",
            "total p90",
            "success",
            "hits",
            "KV",
            "busy",
        ];
        let rows = self.told.engines.iter().map(|engine| self.engine(engine));
        self.table(&format!("engines, {}", self.window), &heads, rows.collect())
    }

    fn engine(&self, engine: &Engine) -> Vec<String> {
        let requests = self.told.requests(&engine.labels, self.window);
        let steps = engine.windows.iter().find(|steps| steps.window == self.window);
        let first = requests.and_then(|requests| requests.first_token.as_ref());
        let of =
            |spread: Option<&Quantiles>, number: fn(&Quantiles) -> f64| spread.map_or_else(none, |s| time(number(s)));
        let ratio = |part: u64, whole: u64| if whole > 0 { percent(part as f64 / whole as f64) } else { none() };
        let kv = &engine.now.kv;
        vec![
            name(&engine.labels),
            engine.now.running.to_string(),
            engine.now.waiting.to_string(),
            requests.map_or_else(none, |r| count(r.requests.ended as f64 / r.seconds.max(1.0))),
            steps.map_or_else(none, |s| count(s.work.tokens as f64 / s.seconds.max(1.0))),
            of(first, |spread| spread.p50),
            of(first, |spread| spread.p90),
            of(first, |spread| spread.p99),
            of(requests.and_then(|r| r.between.as_ref()), |spread| spread.p90),
            of(requests.and_then(|r| r.total.as_ref()), |spread| spread.p90),
            requests.map_or_else(none, |r| ratio(r.requests.succeeded, r.requests.ended)),
            requests.map_or_else(none, |r| ratio(r.tokens.cached, r.tokens.prompt)),
            ratio(kv.used, kv.blocks),
            steps.map_or_else(none, |s| percent(s.busy)),
        ]
    }

    fn tenants(&self) -> Vec<String> {
        let tenants = self.told.tenants(self.window);
        let row = |&(name, requests, tokens): &(&str, u64, u64)| {
            vec![one_line(name), requests.to_string(), count(tokens as f64)]
        };
        let rows = tenants.iter().take(MOST_TENANTS).map(row).collect();
        self.table(&format!("tenants, {}", self.window), &["tenant", "requests", "tokens"], rows)
    }

    fn slowest(&self) -> Vec<String> {
        let flows = &self.told.slowest[..self.told.slowest.len().min(MOST_FLOWS)];
        let longest = flows.iter().map(|flow| flow.total_us).max().unwrap_or_default().max(1);
        if flows.is_empty() {
            return Vec::new();
        }
        let key = "slowest requests, 1h: . queued, = prefill, # decode, x preempted, > sent";
        let lines = flows.iter().map(|flow| self.flow(flow, longest));
        [self.heading(key)].into_iter().chain(lines).collect()
    }

    /// A request on one line: who it was, and its stages as long as they took.
    fn flow(&self, flow: &Flow, longest: u64) -> String {
        let tenant = flow.tenant.as_deref().map_or(String::new(), |tenant| format!(" {tenant}"));
        let who = one_line(&format!("{}{tenant}", name(&flow.labels)));
        let head =
            format!("{:>8} {:>6}+{:<5} {who:.24}", time(flow.total_us as f64 / 1e3), flow.prompt, flow.generated);
        let room = self.width.saturating_sub(50).clamp(10, 100);
        self.cut(&format!("{head:<48} {}", bar(flow, longest, room)))
    }

    fn anomalies(&self) -> Vec<String> {
        let lasting = self.told.anomalies.iter().filter(|anomaly| anomaly.until_ms.is_none());
        let line = |anomaly: &Anomaly| {
            let age = self.told.server.time_ms.saturating_sub(anomaly.since_ms) as f64;
            let text = format!("{}: {} ({}, for {})", anomaly.cause, anomaly.message, name(&anomaly.labels), time(age));
            styled(&self.cut(&one_line(&format!("! {text}"))), CODE, self.colours)
        };
        lasting.take(MOST_ANOMALIES).map(line).collect()
    }

    fn predictions(&self) -> Vec<String> {
        let row = |what: &str, labels: &Labels, accuracy: &Accuracy| {
            let Accuracy { requests, inside, error } = *accuracy;
            (requests > 0)
                .then(|| vec![name(labels), what.to_owned(), requests.to_string(), percent(inside), percent(error)])
        };
        let rows = self.told.predictions.iter().flat_map(|one| {
            [row("first token", &one.labels, &one.first_token), row("end to end", &one.labels, &one.total)]
        });
        let heads = ["engine", "what", "requests", "inside 90 %", "off by"];
        self.table("predictions", &heads, rows.flatten().collect())
    }

    /// A title and a table below it; nothing without rows.
    fn table(&self, title: &str, heads: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
        if rows.is_empty() {
            return Vec::new();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(heads);
        table.add_rows(rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.column_iter_mut().take(1).for_each(|first| {
            first.set_padding((0, 1));
        });
        let text = table.trim_fmt();
        [self.heading(title)].into_iter().chain(text.lines().map(|line| self.cut(line))).collect()
    }

    fn heading(&self, text: &str) -> String {
        styled(&self.cut(text), BOLD, self.colours)
    }

    /// As much of a line as the terminal is wide.
    fn cut(&self, line: &str) -> String {
        line.chars().take(self.width).collect()
    }
}

/// What people call an engine.
fn name(labels: &Labels) -> String {
    let parts = [&labels.model, &labels.variant].into_iter().filter(|part| !part.is_empty());
    one_line(&parts.map(String::as_str).collect::<Vec<_>>().join(":"))
}

/// A request's stages on a line of so many characters, of which the longest request takes all.
fn bar(flow: &Flow, longest: u64, room: usize) -> String {
    let mut line = vec![' '; room];
    let at = |us: u64| (us as f64 / longest as f64 * room as f64) as usize;
    for span in &flow.spans {
        let mark = match span.stage.as_str() {
            "queued" => '.',
            "prefill" => '=',
            "decode" => '#',
            "preempted" => 'x',
            _ => '>',
        };
        let from = at(span.start_us).min(room - 1);
        let to = at(span.end_us).clamp(from + 1, room);
        line[from..to].fill(mark);
    }
    String::from_iter(line).trim_end().to_owned()
}

fn none() -> String {
    "-".to_owned()
}

/// Milliseconds, as people read them.
fn time(ms: f64) -> String {
    match ms {
        _ if !ms.is_finite() => none(),
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ if ms < 59_950.0 => format!("{:.1} s", ms / 1e3),
        _ if ms < 3_570_000.0 => format!("{:.0} min", ms / 6e4),
        _ => format!("{:.1} h", ms / 3.6e6),
    }
}

/// A number in three digits.
fn count(number: f64) -> String {
    match number {
        _ if !number.is_finite() => none(),
        _ if number >= 1e6 => format!("{:.1}M", number / 1e6),
        _ if number >= 1e4 => format!("{:.1}k", number / 1e3),
        _ if number >= 99.5 || number == number.trunc() => format!("{number:.0}"),
        _ => format!("{number:.1}"),
    }
}

/// A share, 0 to 1.
fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0} %", share * 100.0) } else { none() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::told::merge;
    use super::*;

    fn shown(told: &Value, width: usize) -> Vec<String> {
        let told = Told::read(told).expect("it is understood");
        Lines { told: &told, window: "1m", url: "http://here", width, colours: false }.all()
    }

    fn told() -> Value {
        let window = json!({
            "window": "1m", "seconds": 60.0, "requests": { "ended": 30, "succeeded": 27 },
            "tokens": { "prompt": 1000, "cached": 250, "generated": 2000 },
            "first_token": { "p50": 120.4, "p90": 310.0, "p99": 1500.0 }, "between": null, "total": null,
        });
        let steps =
            json!({ "window": "1m", "seconds": 60.0, "busy": 0.5, "work": { "tokens": 6000, "prefill_rows": 750 } });
        json!({
            "server": { "version": "0.1.0", "time_ms": 90_000, "uptime_s": 7200.0, "own_cores": 1.5 },
            "engines": [{
                "model": "a", "variant": "Q8_0", "device": "cpu",
                "now": { "running": 3, "waiting": 2, "kv": { "blocks": 100, "used": 41, "kept": 7 } }, "windows": [steps],
            }],
            "series": [
                { "model": "a", "variant": "Q8_0", "device": "cpu", "tenant": null, "windows": [window] },
                { "model": "a", "variant": "Q8_0", "device": "cpu", "tenant": "acme\u{1b}[2J", "windows": [window] },
            ],
            "predictions": [{
                "model": "a", "variant": "Q8_0", "device": "cpu",
                "first_token": { "requests": 50, "inside": 0.94, "error": 0.1 }, "total": { "requests": 0, "inside": null, "error": null },
            }],
            "slowest": [{
                "model": "a", "variant": "", "device": "cpu", "tenant": null, "total_us": 4_000_000, "prompt": 12, "generated": 34,
                "spans": [
                    { "stage": "queued", "start_us": 0, "end_us": 1_000_000 }, { "stage": "prefill", "start_us": 1_000_000, "end_us": 2_000_000 },
                    { "stage": "decode", "start_us": 2_000_000, "end_us": 3_999_999 }, { "stage": "sent", "start_us": 3_999_999, "end_us": 4_000_000 },
                ],
            }],
            "anomalies": [{ "model": "a", "variant": "", "device": "cpu", "cause": "core_taken", "message": "Others.", "since_ms": 30_000, "until_ms": null }],
            "cores": [{ "core": 0, "busy": 1.0 }, { "core": 1, "busy": 0.25 }],
        })
    }

    #[test]
    fn each_part_is_shown() {
        let check = |told: &Value, wanted: &str| {
            let lines = shown(told, 200);
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(lines.iter().any(|line| words(line) == wanted), "{wanted} is not in\n{}", lines.join("\n"));
        };
        let told = told();
        check(&told, "whinchat 0.1.0 at http://here up 2.0 h, 1.2 of 2 cores busy, 1.5 with it");
        check(&told, "3 running, 2 waiting; a second: 100 tokens generated, 12.5 of prompts computed");
        check(&told, "! core_taken: Others. (a, for 1 min)");
        check(&told, "a:Q8_0 3 2 0.5 100 120 ms 310 ms 1.5 s - - 90 % 25 % 41 % 50 %");
        check(&told, "a:Q8_0 first token 50 94 % 10 %");
        check(&told, &format!("4.0 s 12+34 a {}{}{}>", ".".repeat(25), "=".repeat(25), "#".repeat(49)));
        // A name that clients chose cannot command the terminal.
        assert!(shown(&told, 200).iter().all(|line| !line.contains('\u{1b}')));
        assert!(shown(&told, 200).iter().any(|line| line.starts_with("acme")));
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_nothing_is_needed() {
        for width in [1, 20, 80] {
            let most = shown(&told(), width).iter().map(|line| line.chars().count()).max();
            assert!(most.is_some_and(|most| most <= width), "{most:?} of {width}");
        }
        assert!(shown(&json!({}), 80).len() >= 2);
    }

    #[test]
    fn messages_replace_what_they_name() {
        let mut known = Value::Null;
        merge(&mut known, json!({ "server": { "version": "1" }, "cores": [] }));
        merge(&mut known, json!({ "server": { "version": "2" } }));
        assert_eq!(known, json!({ "server": { "version": "2" }, "cores": [] }));
        assert!(Told::read(&json!(3)).is_err() && Told::read(&json!({ "engines": 3 })).is_err());
    }
}
