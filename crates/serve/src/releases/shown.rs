//! Releases, as `/admin/releases` and the dashboard are told of them.

use std::sync::Arc;

use release::{BadJournal, Decision, Entry, Event, Likeness, Margins, Plan, Variant, Verdict};
use serde_json::{Value, json};

use super::seen::Compared;
use super::{About, Trial, View, store};
use crate::routes::unit;
use crate::{App, Kind, Problem};

/// A release as it stands.
pub(crate) fn shown(trial: &Trial) -> Value {
    let (view, about) = (Arc::clone(&trial.view.borrow()), trial.about().clone());
    let View { status, counts, .. } = &*view;
    let (stable, candidate) = (&about.stable.model, &about.candidate.model);
    let verdict = about.end.as_ref().map(|end| verdict(end.verdict));
    let count = |at: usize| json!({ "ended": counts[at].ended, "failed": counts[at].failed });
    let stage_s = seconds(view.at.saturating_sub(view.stage_began));
    json!({
        "object": "release", "id": about.id, "name": about.name, "route": about.route,
        "stable": stable, "candidate": candidate, "known": known(&about.candidate),
        "state": state(&about, &view), "verdict": verdict, "why": about.end.as_ref().map(|end| &end.why),
        "created": seconds(about.beginning.at), "ended": about.end.as_ref().map(|end| seconds(end.at)),
        "stage": status.stage, "share": share(&about, &view), "stage_s": stage_s,
        "evidence": { "now": number(status.evidence[0]), "ends_at": status.evidence[1] },
        "units": { "stable": status.units[0], "candidate": status.units[1] },
        "requests": { "stable": count(0), "candidate": count(1) },
        "waits_for": if about.end.is_none() { status.waits_for.clone() } else { Vec::new() },
        "keep_stable": !about.is_promoted(),
        "shadow": view.shadow.as_ref().map(compared),
        "sentence": sentence(&about, &view), "durable": view.durable,
        "plan": plan(&about.beginning.plan),
    })
}

/// What was known of the candidate before.
fn known(candidate: &Variant) -> Value {
    let Variant { weight_type, bytes, quality, settings, .. } = candidate;
    json!({ "weight_type": weight_type, "bytes": bytes, "quality": quality, "settings": settings })
}

/// How long a release that has ended is still told of to who watches, in microseconds.
const LATELY: u64 = 3600 * release::SECOND;

/// Releases that are under way or have ended lately, the newest first, with the evidence over time: for who watches.
pub(crate) fn told(app: &App) -> Vec<Value> {
    let (mut all, now) = (app.routes.releases.all(), app.routes.releases.now());
    all.retain(|trial| trial.about().end.as_ref().is_none_or(|end| now.saturating_sub(end.at) < LATELY));
    all.iter().rev().map(|trial| drawn(trial)).collect()
}

/// A number that changes when something is to be told.
pub(crate) fn changes(app: &App) -> usize {
    let all = app.routes.releases.all();
    all.iter().fold(all.len(), |sum, trial| sum.wrapping_add(Arc::as_ptr(&trial.view.borrow()) as usize))
}

fn drawn(trial: &Trial) -> Value {
    let mut drawn = shown(trial);
    let (view, began) = (Arc::clone(&trial.view.borrow()), trial.about().beginning.at);
    let point = |(at, evidence): &(u64, f64)| json!([seconds(at.saturating_sub(began)), number(*evidence)]);
    drawn["evidence_over_time"] = view.curve.iter().map(point).collect();
    drawn
}

fn state(about: &About, view: &View) -> &'static str {
    match about.end {
        Some(_) => "ended",
        None if view.loading => "loading",
        None if view.status.paused => "paused",
        None if view.mirrored > 0.0 => "shadow",
        None => "running",
    }
}

/// The candidate's share of the traffic now.
pub(super) fn share(about: &About, view: &View) -> f64 {
    match about.end {
        Some(_) => f64::from(u8::from(about.is_promoted())),
        None if view.loading => 0.0,
        None => view.status.share,
    }
}

/// Where it is and why, for a person.
fn sentence(about: &About, view: &View) -> String {
    let (route, candidate) = (&about.route, &about.candidate.model);
    if let Some(end) = &about.end {
        let how = match end.verdict {
            Verdict::Promoted => "answers everything now",
            Verdict::RolledBack => "was rolled back",
            Verdict::Inconclusive => "was not shown to be good enough, so what was there stays",
            Verdict::Aborted => "was given up",
        };
        return format!("{candidate} {how} on {route}: {}.", end.why);
    }
    let waits = view.status.waits_for.join("; ");
    let (stage, stages) = (view.status.stage + 1, about.beginning.plan.stages.len());
    let percent = 100.0 * view.status.share;
    match state(about, view) {
        "loading" => format!("{candidate} is being loaded beside {} for {route}.", about.stable.model),
        "shadow" => format!(
            "{candidate} sees {:.0} % of the requests to {route}, and nobody sees it: {waits}.",
            100.0 * view.mirrored
        ),
        word => format!(
            "{candidate} answers {percent:.0} % of {route} (stage {stage} of {stages}, {word}); evidence against it is {:.1}, at {:.0} it is \
             rolled back. It waits for: {}.",
            view.status.evidence[0],
            view.status.evidence[1],
            if waits.is_empty() { "nothing" } else { &waits }
        ),
    }
}

/// What was compared, as it is told.
pub(crate) fn compared(compared: &Compared) -> Value {
    let shown = compared.shown.map(|shown| match shown {
        Likeness::Alike => "alike",
        Likeness::Different => "different",
    });
    json!({
        "compared": compared.compared, "exact": compared.same,
        "exact_share": { "low": number(compared.exact.low), "high": number(compared.exact.high) },
        "differs_at": number(compared.differs_at), "divergence": number(compared.divergence), "limit": compared.limit,
        "verdict": shown, "sentence": compared.sentence,
    })
}

/// A plan in the form in which it is given.
fn plan(plan: &Plan) -> Value {
    let stage = |stage: &release::Stage| json!({ "share": stage.share, "min_time_s": seconds(stage.min_time), "min_samples": stage.min_samples });
    let Margins { failures, median, tail, quality } = plan.margins;
    let shadow = plan.shadow.map(|shadow| {
        let limits = shadow.limits;
        json!({ "share": shadow.share, "divergence": limits.divergence, "most": limits.most, "alpha": limits.alpha })
    });
    json!({
        "stages": plan.stages.iter().map(stage).collect::<Vec<_>>(),
        "by": unit(plan.by), "budget": plan.budget, "alpha": plan.alpha,
        "margins": { "failures": failures, "median": median, "tail": tail, "quality": quality },
        "freeze_after": plan.freeze_after, "warm_up_s": seconds(plan.warm_up), "twin": plan.twin,
        "give_up_after_s": seconds(plan.give_up_after), "patience": plan.patience, "shadow": shadow,
    })
}

/// A decision, with when it was made.
pub(crate) fn decision(about: &About, at: u64, decision: &Decision) -> Value {
    let mut said = match decision {
        Decision::Share { stage, share, why } => json!({ "kind": "share", "stage": stage, "share": share, "why": why }),
        Decision::Ended { verdict: how, why } => json!({ "kind": "ended", "verdict": verdict(*how), "why": why }),
        Decision::Paused => json!({ "kind": "paused" }),
        Decision::Resumed => json!({ "kind": "resumed" }),
    };
    said["at"] = json!(seconds(at));
    said["after_s"] = json!(seconds(at.saturating_sub(about.beginning.at)));
    said
}

/// The journal of a release, with what it begins with.
pub(crate) struct Journal {
    about: About,
    entries: Vec<Entry>,
}

impl Journal {
    /// Reads it; that may block.
    ///
    /// # Errors
    /// If it is not there any more.
    pub(crate) fn of(app: &App, trial: &Trial) -> Result<Journal, Problem> {
        let about = trial.about().clone();
        let gone = || {
            let message = format!(
                "The journal of {} has become too long to be kept in memory; --data-dir keeps journals.",
                about.id
            );
            Problem::of(Kind::ReleaseConflict, "id", message)
        };
        let later = trial.entries().clone().ok_or_else(gone)?;
        let mut entries = store::journal(app, &about.id).unwrap_or_default();
        entries.extend(later);
        Ok(Journal { about, entries })
    }
}

/// The entries of a journal: those with decisions, or all.
pub(crate) fn history(journal: &Journal, all: bool) -> Vec<Value> {
    let mut requests = 0;
    let mut told = Vec::new();
    for entry in &journal.entries {
        requests += u64::from(matches!(entry.event, Event::Outcome(_) | Event::Compared(_)));
        if !all && entry.decisions.is_empty() {
            continue;
        }
        let decisions: Vec<Value> = entry.decisions.iter().map(|one| decision(&journal.about, entry.at, one)).collect();
        let after = seconds(entry.at.saturating_sub(journal.about.beginning.at));
        let mut said = json!({
            "at": seconds(entry.at), "after_s": after, "requests": requests, "event": word(&entry.event),
            "decisions": decisions,
        });
        if all {
            said["entry"] = json!(entry.event);
        }
        told.push(said);
    }
    told
}

/// Every decision of a journal in a sentence, proved by replaying it.
///
/// # Errors
/// If the journal says something else than what follows from it.
pub(crate) fn explained(journal: &Journal) -> Result<Value, Problem> {
    let Journal { about, entries } = journal;
    let damaged = |error: BadJournal| {
        tracing::error!(id = about.id, "the journal of a release is damaged: {error}");
        Problem::new(Kind::Internal, format!("The journal of {} is damaged: {error}.", about.id))
    };
    let lines = release::explain(&about.beginning, entries).map_err(damaged)?;
    Ok(json!({ "object": "explanation", "id": about.id, "replayed": true, "entries": entries.len(), "lines": lines }))
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::Outcome(_) => "outcome",
        Event::Compared(_) => "compared",
        Event::Feedback { .. } => "feedback",
        Event::Tick => "tick",
        Event::Pause => "pause",
        Event::Resume => "resume",
        Event::Promote => "promote",
        Event::Abort { .. } => "abort",
        Event::Veto { .. } => "veto",
    }
}

/// A verdict's name.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Promoted => "promoted",
        Verdict::RolledBack => "rolled_back",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Aborted => "aborted",
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / release::SECOND as f64
}

/// What JSON can write.
fn number(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
