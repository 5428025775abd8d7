//! The command that tries a recommendation: the same load before and after, made to be like what was seen.

use super::Facts;
use crate::Gauges;

/// Clients that are imitated at most.
const MOST_CLIENTS: usize = 1024;

/// For a setting of one engine.
pub(super) fn of(facts: &Facts<'_>, setting: &str, value: &str) -> String {
    let with = match facts.limits.slots {
        0 => String::new(),
        slots => format!(" --with max-sequences={slots}"),
    };
    let tried = quoted(&format!("{}={value}", setting.trim_start_matches('-')));
    format!("whinchat bench --model {}{with} --try {tried}{}", source(facts), load(facts))
}

/// For another variant in the place of one.
pub(super) fn instead(facts: &Facts<'_>, other: &Facts<'_>) -> String {
    let tried = quoted(&format!("model={}", raw(other)));
    format!("whinchat bench --model {} --try {tried}{}", source(facts), load(facts))
}

/// Options that make a load like what the engine has seen in ten minutes.
fn load(facts: &Facts<'_>) -> String {
    let Some(window) = facts.requests() else { return String::new() };
    let Gauges { running, waiting, .. } = facts.view.now;
    let (ended, tokens) = (window.requests.ended.max(1), window.tokens);
    let [prompt, generate] = [tokens.prompt / ended, (tokens.generated / ended).max(2)];
    let clients = (running + waiting).clamp(1, MOST_CLIENTS);
    let mut load = format!(" --clients {clients} --prompt {} --generate {generate}", prompt.max(1));
    if tokens.cached as f64 > 0.05 * tokens.prompt as f64 && prompt > 0 {
        // As many prompts as the cache cannot hold all of.
        let returning = (facts.positions() as u64 * 3 / 2 / prompt).clamp(2, 1_000_000);
        load += &format!(" --returning {returning}");
    }
    load
}

fn source(facts: &Facts<'_>) -> String {
    quoted(&raw(facts))
}

/// What the model is loaded from.
fn raw(facts: &Facts<'_>) -> String {
    facts.limits.source.clone().unwrap_or_else(|| facts.view.labels.model.clone())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
