//! Releases as a former process left them: one that was under way goes on where it was.

use std::sync::Arc;

use batch::Store;
use release::{Decision, Entry, Recorded};
use tokio::sync::mpsc;

use super::running::{Running, run};
use super::{About, End, Told, Trial, View, models, store};
use crate::App;

/// Takes up what is kept. To be called on the runtime that serves, before models are loaded.
pub(crate) fn restore(app: &Arc<App>, kept: &Store) {
    let mut open = Vec::new();
    for (about, entries) in store::all(kept) {
        let plan = about.beginning.plan.clone();
        let (trial, told) = Trial::new(about, &plan);
        let _ = app.routes.releases.add(Arc::clone(&trial));
        if trial.is_open() {
            open.push((trial, entries, told));
        } else {
            has_ended(&trial);
        }
    }
    // A release that goes on steers its route, which has to be there.
    app.rebuild_routes();
    for (trial, entries, told) in open {
        go_on(app, &trial, (entries, told));
        has_ended(&trial);
    }
    app.rebuild_routes();
    crate::routes::restore(app);
}

/// Shows how a release ended, if it has.
fn has_ended(trial: &Trial) {
    let ended = trial.about().clone();
    if let Some(end) = &ended.end {
        trial.view.send_replace(Arc::new(View::ended(&ended, end)));
    }
}

fn go_on(app: &Arc<App>, trial: &Arc<Trial>, (entries, told): (Vec<Entry>, mpsc::Receiver<Told>)) {
    let (beginning, id) = {
        let about = trial.about();
        (about.beginning.clone(), about.id.clone())
    };
    let recorded = match Recorded::replay(&beginning, entries.iter().cloned()) {
        Ok(recorded) => recorded,
        Err(error) => {
            tracing::error!(id, "the release cannot go on: {error}");
            let why = format!("its journal cannot be replayed: {error}");
            trial.about().end = Some(End { at: app.routes.releases.now(), verdict: release::Verdict::Aborted, why });
            return;
        }
    };
    tracing::info!(id, entries = entries.len(), "a release goes on");
    // The process ended between the decision and what came of it.
    let ended = entries.iter().find_map(end);
    let running = Running::restored(trial, recorded, entries);
    if ended.is_some() {
        trial.about().end = ended;
        return keep(app, trial.about().clone());
    }
    tokio::spawn(run(Arc::downgrade(app), running, told));
    models::warm(app, trial);
}

fn end(entry: &Entry) -> Option<End> {
    entry.decisions.iter().find_map(|decision| match decision {
        Decision::Ended { verdict, why } => Some(End { at: entry.at, verdict: *verdict, why: why.clone() }),
        Decision::Share { .. } | Decision::Paused | Decision::Resumed => None,
    })
}

fn keep(app: &Arc<App>, about: About) {
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        if let Some(app) = app.upgrade() {
            let id = about.id.clone();
            store::keep(&app, &id, Some(about), (0, &[])).await;
        }
    });
}
