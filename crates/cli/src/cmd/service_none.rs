//! Systems without a service manager that wants to hear something.

use std::sync::Arc;

use serve::App;

pub(super) fn ready() {}

pub(super) fn loading() {}

pub(super) fn reloading() {}

pub(super) fn stopping() {}

pub(super) fn watch(_: &Arc<App>) {}
