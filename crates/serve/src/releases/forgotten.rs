//! Releases end with the process: this build has no database.

use std::sync::Arc;

use release::Entry;

use super::About;
use crate::App;

/// Keeps nothing, and says so.
pub(super) async fn keep(_: &Arc<App>, _: &str, _: Option<About>, _: (usize, &[Entry])) -> bool {
    false
}

/// There is nothing to forget.
pub(super) async fn forget(_: &Arc<App>, _: Vec<String>) {}

/// Whether journals are kept.
pub(super) fn keeps(_: &App) -> bool {
    false
}

/// No journal is kept here.
pub(super) fn journal(_: &App, _: &str) -> Option<Vec<Entry>> {
    None
}
