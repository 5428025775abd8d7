//! Releases outlive the process in the database of files and batches, if there is one.

use std::sync::Arc;

use batch::Store;
use release::Entry;

use super::About;
use crate::App;

/// Keeps what a release is, and further entries of its journal, the first of which has this number. Says whether it is kept.
pub(super) async fn keep(app: &Arc<App>, id: &str, about: Option<About>, (first, entries): (usize, &[Entry])) -> bool {
    let Some(batches) = app.batches.get().cloned() else { return false };
    let (id, first) = (id.to_owned(), i64::try_from(first).unwrap_or(i64::MAX));
    let about = about.map(|about| serde_json::to_string(&about));
    let entries: Result<Vec<String>, _> = entries.iter().map(serde_json::to_string).collect();
    let (Ok(about), Ok(entries)) = (about.transpose(), entries) else { return false };
    let kept = tokio::task::spawn_blocking(move || {
        batches.store().keep_release(&id, about.as_deref(), (first, &entries)).map_err(|error| error.to_string())
    });
    match kept.await.map_err(|error| error.to_string()).flatten() {
        Ok(()) => true,
        Err(error) => {
            tracing::error!("the journal of a release is not kept: {error}");
            false
        }
    }
}

/// Forgets releases.
pub(super) async fn forget(app: &Arc<App>, ids: Vec<String>) {
    let Some(batches) = app.batches.get().cloned() else { return };
    let forgotten =
        tokio::task::spawn_blocking(move || batches.store().forget_releases(&ids).map_err(|error| error.to_string()));
    if let Err(error) = forgotten.await.map_err(|error| error.to_string()).flatten() {
        tracing::error!("old releases are not forgotten: {error}");
    }
}

/// Whether journals are kept.
pub(super) fn keeps(app: &App) -> bool {
    app.batches.get().is_some()
}

/// The journal of a release; none if it is not kept here.
pub(super) fn journal(app: &App, id: &str) -> Option<Vec<Entry>> {
    read(app.batches.get()?.store(), id)
}

/// Every release that is kept, the oldest first, with its journal if it has not ended. What cannot be read is left out.
pub(super) fn all(store: &Store) -> Vec<(About, Vec<Entry>)> {
    let kept = store.releases().unwrap_or_else(|error| {
        tracing::error!("releases cannot be read: {error}");
        Vec::new()
    });
    let about = |(id, text): (String, String)| match serde_json::from_str::<About>(&text) {
        Ok(about) => {
            let entries = if about.end.is_none() { read(store, &id) } else { Some(Vec::new()) };
            Some((about, entries?))
        }
        Err(error) => {
            tracing::error!(id, "a release cannot be read: {error}");
            None
        }
    };
    kept.into_iter().filter_map(about).collect()
}

fn read(store: &Store, id: &str) -> Option<Vec<Entry>> {
    let texts = store.journal(id).map_err(|error| tracing::error!(id, "a journal cannot be read: {error}")).ok()?;
    let entries: Result<Vec<Entry>, _> = texts.iter().map(|text| serde_json::from_str(text)).collect();
    entries.map_err(|error| tracing::error!(id, "a journal cannot be read: {error}")).ok()
}
