//! What a server says of releases, for people.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

use crate::terminal::visible;

/// Where a release is, on some lines.
pub(super) fn status(release: &Value) -> String {
    let text = |field: &str| release[field].as_str().unwrap_or_default();
    let title = format!("{}: {} beside {} ({})", text("route"), text("candidate"), text("stable"), named(release));
    let mut lines = vec![title, text("sentence").to_owned()];
    let mut say = |name: &str, what: String| lines.push(format!("  {name:<10} {what}"));
    say("state", state(release));
    if release["verdict"].is_null() {
        let units = &release["units"];
        let (stable, candidate) = (count(&units["stable"]), count(&units["candidate"]));
        say("units", format!("{stable} by the stable variant, {candidate} by the candidate, in this stage"));
        say("evidence", format!("{} of harm; {}", evidence(release), ends_at(release)));
    }
    let (stable, candidate) = (requests(release, "stable"), requests(release, "candidate"));
    say("requests", format!("{stable} by the stable variant, {candidate} by the candidate"));
    if let Some(shadow) = release["shadow"]["sentence"].as_str() {
        say("shadow", shadow.to_owned());
    }
    for (place, what) in texts(&release["waits_for"]).enumerate() {
        say(if place == 0 { "waits for" } else { "" }, what.to_owned());
    }
    if release["durable"] == false {
        say("note", "it is kept in memory alone: serve --data-dir lets it outlive the server".into());
    }
    printable(&lines)
}

/// A line for each release.
pub(super) fn table(answer: &Value) -> String {
    let all = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "no releases; whinchat release start begins one".into();
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["RELEASE", "ROUTE", "STABLE", "CANDIDATE", "STATE", "EVIDENCE"]);
    for release in all {
        let text = |field: &str| release[field].as_str().unwrap_or_default().to_owned();
        let evidence = if release["verdict"].is_null() { evidence(release) } else { String::new() };
        table.add_row([text("id"), text("route"), text("stable"), text("candidate"), state(release), evidence]);
    }
    table.column_mut(5).into_iter().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    printable(&table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
}

/// How it goes, on one line.
pub(super) fn line(release: &Value) -> String {
    let units = &release["units"];
    let mut parts = vec![state(release)];
    if release["state"] == "shadow" {
        parts.extend(release["shadow"]["sentence"].as_str().map(str::to_owned));
    } else if release["verdict"].is_null() {
        parts.push(format!("{} and {} units", count(&units["stable"]), count(&units["candidate"])));
        parts.push(format!("evidence {}", evidence(release)));
    }
    parts.extend(texts(&release["waits_for"]).next().map(|first| format!("waits for: {first}")));
    printable(&[parts.join(" · ")])
}

/// What was decided, when and why.
pub(super) fn history(answer: &Value) -> String {
    let line = |entry: &Value| {
        let requests = count(&entry["requests"]);
        let event = entry["event"].as_str().unwrap_or_default();
        let decisions = entry["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let decided: Vec<String> = decisions.iter().map(decided).collect();
        format!("{}  {requests:>7} requests  {event:<8} {}", after(entry), decided.join("; "))
    };
    let lines: Vec<String> = answer["data"].as_array().into_iter().flatten().map(line).collect();
    if lines.is_empty() { "nothing was decided yet".into() } else { printable(&lines) }
}

/// Every decision in a sentence, and that they follow from the journal.
pub(super) fn explanation(answer: &Value) -> String {
    let mut lines: Vec<String> = texts(&answer["lines"]).map(str::to_owned).collect();
    if answer["replayed"] == true {
        lines.push(format!(
            "Replayed: all of it follows from the {} entries of the journal.",
            count(&answer["entries"])
        ));
    }
    printable(&lines)
}

/// A decision of a release that is watched.
pub(super) fn decision(decision: &Value) -> String {
    printable(&[format!("{}  {}", after(decision), decided(decision))])
}

fn decided(decision: &Value) -> String {
    let why = decision["why"].as_str().unwrap_or_default();
    match decision["kind"].as_str() {
        Some("share") => format!("{} to the candidate: {why}", percent(&decision["share"])),
        Some("ended") => verdict(decision),
        other => other.unwrap_or_default().to_owned(),
    }
}

/// How a release ended and why.
pub(super) fn verdict(ended: &Value) -> String {
    let why = ended["why"].as_str().unwrap_or_default();
    printable(&[format!("{}: {why}", ended["verdict"].as_str().unwrap_or("ended").replace('_', " "))])
}

/// `running, stage 2 of 4, 25 % for 12 s`, or how it ended.
fn state(release: &Value) -> String {
    let state = release["state"].as_str().unwrap_or_default();
    if let Some(verdict) = release["verdict"].as_str() {
        return verdict.replace('_', " ");
    }
    if matches!(state, "loading" | "shadow") {
        return state.to_owned();
    }
    let stages = release["plan"]["stages"].as_array().map_or(0, Vec::len);
    let stage = release["stage"].as_u64().unwrap_or_default() + 1;
    let seconds = release["stage_s"].as_f64().unwrap_or_default();
    format!("{state}, stage {stage} of {stages}, {} for {seconds:.0} s", percent(&release["share"]))
}

fn named(release: &Value) -> String {
    let parts = ["id", "name"].map(|field| release[field].as_str().unwrap_or_default());
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn requests(release: &Value, arm: &str) -> String {
    let arm = &release["requests"][arm];
    let mut text = count(&arm["ended"]);
    let counts = [("failed", "failed"), ("fallbacks", "answered by the stable variant instead")];
    let counts = counts.map(|(field, what)| (arm[field].as_u64().unwrap_or_default(), what));
    let told: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !told.is_empty() {
        text += &format!(" ({})", told.join(", "));
    }
    text
}

fn evidence(release: &Value) -> String {
    release["evidence"]["now"].as_f64().map(|now| format!("{now:.2}")).unwrap_or_default()
}

fn ends_at(release: &Value) -> String {
    let ends_at = release["evidence"]["ends_at"].as_f64().unwrap_or(f64::NAN);
    format!("at {ends_at:.0} it is rolled back")
}

fn after(of: &Value) -> String {
    format!("{:>8.1} s", of["after_s"].as_f64().unwrap_or(f64::NAN))
}

fn percent(share: &Value) -> String {
    let percent = 100.0 * share.as_f64().unwrap_or(f64::NAN);
    if percent.fract().abs() < 1e-6 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

fn count(value: &Value) -> String {
    value.as_u64().unwrap_or_default().to_string()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What a server says cannot command the terminal.
fn printable(lines: &[String]) -> String {
    lines.iter().map(|line| line.chars().map(visible).collect::<String>()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn running() -> Value {
        json!({ "id": "rel_1", "name": "q4", "route": "chat", "stable": "m@1", "candidate": "m@2", "state": "running",
            "verdict": null, "stage": 1, "share": 0.25, "stage_s": 12.4, "evidence": { "now": 1.3, "ends_at": 20.0 },
            "units": { "stable": 900, "candidate": 300 }, "waits_for": ["120 s more of this stage", "failures: more"],
            "requests": { "stable": { "ended": 1900, "failed": 3 }, "candidate": { "ended": 400, "failed": 0, "fallbacks": 2 } },
            "shadow": { "sentence": "alike: 31 of 40" }, "sentence": "25 % to the candidate.", "durable": true,
            "plan": { "stages": [{}, {}, {}, {}] } })
    }

    #[test]
    fn a_release_is_told() {
        let text = status(&running());
        let expected = [
            "chat: m@2 beside m@1 (rel_1, q4)",
            "25 % to the candidate.",
            "  state      running, stage 2 of 4, 25 % for 12 s",
            "  units      900 by the stable variant, 300 by the candidate, in this stage",
            "  evidence   1.30 of harm; at 20 it is rolled back",
            "  requests   1900 (3 failed) by the stable variant, 400 (2 answered by the stable variant instead) by the candidate",
            "  shadow     alike: 31 of 40",
            "  waits for  120 s more of this stage",
            "             failures: more",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        let told = line(&running());
        assert_eq!(
            told,
            "running, stage 2 of 4, 25 % for 12 s · 900 and 300 units · evidence 1.30 · waits for: 120 s more of this stage"
        );
    }

    #[test]
    fn releases_are_listed() {
        let mut ended = running();
        (ended["state"], ended["verdict"]) = (json!("ended"), json!("rolled_back"));
        let text = table(&json!({ "data": [running(), ended] }));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("1.30") && lines[2].ends_with("rolled back"), "{text}");
        assert!(table(&json!({ "data": [] })).contains("release start"));
    }

    #[test]
    fn decisions_are_told() {
        let share = json!({ "kind": "share", "stage": 1, "share": 0.125, "why": "no worse", "after_s": 301.25 });
        assert_eq!(decision(&share), "   301.2 s  12.5 % to the candidate: no worse");
        let ended = json!({ "kind": "ended", "verdict": "rolled_back", "why": "failures", "after_s": 9 });
        assert_eq!(decision(&ended), "     9.0 s  rolled back: failures");
        let entry = json!({ "after_s": 1.5, "requests": 120, "event": "tick", "decisions": [share] });
        let told = history(&json!({ "data": [entry] }));
        assert_eq!(told, "     1.5 s      120 requests  tick     12.5 % to the candidate: no worse");
        let explained = explanation(&json!({ "replayed": true, "entries": 12, "lines": ["q4 began."] }));
        assert_eq!(explained, "q4 began.\nReplayed: all of it follows from the 12 entries of the journal.");
    }

    /// A server that says nothing, or commands.
    #[test]
    fn nothing_is_taken_for_granted() {
        for answer in [json!({}), json!({ "sentence": "\u{1b}[2J", "data": [null], "waits_for": 3 })] {
            for text in [status(&answer), line(&answer), table(&answer), history(&answer), explanation(&answer)] {
                assert!(!text.contains('\u{1b}'), "{text:?}");
            }
        }
    }
}
