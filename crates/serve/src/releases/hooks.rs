//! Who is told what happens hears of stages and verdicts, and may say no to what gives a candidate more.

use std::sync::Arc;

use release::{Decision, Event, Recorded, Verdict};
use serde_json::{Value, json};

use super::{About, Told, Trial, shown};
use crate::App;

/// What an event would lead to, if that gives the candidate more.
pub(super) fn foreseen(recorded: &Recorded, event: &Event, now: u64) -> Option<Decision> {
    let decisions = recorded.clone().apply(now, event.clone()).decisions;
    decisions.into_iter().find(|decision| match decision {
        Decision::Share { .. } => true,
        Decision::Ended { verdict, .. } => *verdict == Verdict::Promoted,
        Decision::Paused | Decision::Resumed => false,
    })
}

/// Asks whether a release may begin. It does meanwhile, and ends if it may not.
pub(super) fn begins(app: &Arc<App>, trial: &Arc<Trial>, share: f64) {
    if !app.watch.is_heard() {
        return;
    }
    let about = trial.about().clone();
    let (app, trial) = (Arc::downgrade(app), Arc::clone(trial));
    tokio::spawn(async move {
        let Some(app) = app.upgrade() else { return };
        let data = said(&about, (Some(0), share), (None, "it begins"));
        if let Some(why) = app.watch.consult("release.stage", &format!("{}-0", about.id), &data).await {
            trial.tell(Told::Event(Event::Veto { why }, None));
        }
    });
}

/// Asks whether that may be; the release hears the answer.
pub(super) fn ask(app: &Arc<App>, trial: &Arc<Trial>, decision: &Decision) {
    if !app.watch.is_heard() {
        return;
    }
    let about = trial.about().clone();
    let (event, id, data) = match decision {
        Decision::Share { stage, share, why } => {
            ("release.stage", format!("{}-{stage}", about.id), said(&about, (Some(*stage), *share), (None, why)))
        }
        Decision::Ended { verdict, why } => {
            ("release.verdict", about.id.clone(), said(&about, (None, 1.0), (Some(*verdict), why)))
        }
        Decision::Paused | Decision::Resumed => return,
    };
    let (app, trial) = (Arc::downgrade(app), Arc::clone(trial));
    tokio::spawn(async move {
        let Some(app) = app.upgrade() else { return };
        let veto = app.watch.consult(event, &id, &data).await;
        trial.tell(Told::Heard(veto));
    });
}

/// Tells that a release has ended. Of a promotion who is told was asked before.
pub(super) fn ended(app: &App, about: &About) {
    let Some(end) = &about.end else { return };
    app.watch.releases().ended(&about.route, &about.candidate.model, shown::verdict(end.verdict));
    if end.verdict != Verdict::Promoted {
        let data = said(about, (None, 0.0), (Some(end.verdict), &end.why));
        app.watch.announce("release.verdict", &about.id, &data);
    }
}

/// Tells that what runs is worse than what a release left behind.
pub(crate) fn alarm(app: &App, route: &str, alarm: &str) {
    let data = json!({ "route": route, "why": alarm });
    app.watch.announce("release.alarm", &format!("{route}-{}", app.routes.releases.now()), &data);
}

fn said(about: &About, (stage, share): (Option<usize>, f64), (verdict, why): (Option<Verdict>, &str)) -> Value {
    json!({
        "release": about.id, "name": about.name, "route": about.route, "stable": about.stable.model,
        "candidate": about.candidate.model, "stage": stage, "share": share, "verdict": verdict.map(shown::verdict), "why": why,
    })
}
