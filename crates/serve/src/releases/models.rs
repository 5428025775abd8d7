//! The models of releases: loaded before one begins, kept while it is under way, and given back when it has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use super::about::{self, Order};
use super::{About, Told, Trial};
use crate::models::{Key, Lease, Version, retire};
use crate::{App, Kind, Problem};

/// How often it is looked whether the server's own models are there, after a restart.
const SOON: Duration = Duration::from_millis(50);

/// Brings both models into memory in the background, and tells the release.
pub(super) fn warm(app: &Arc<App>, trial: &Arc<Trial>) {
    let (app, trial) = (Arc::downgrade(app), Arc::clone(trial));
    tokio::spawn(async move {
        let mut ticks = interval(SOON);
        loop {
            ticks.tick().await;
            let Some(app) = app.upgrade() else { return };
            let warmed = leases(&app, &trial).await;
            if !matches!(&warmed, Err(problem) if problem.kind == Kind::Loading) {
                trial.tell(Told::Warm(warmed));
                return;
            }
        }
    });
}

async fn leases(app: &Arc<App>, trial: &Trial) -> Result<Vec<Lease>, Problem> {
    app.know_released();
    let models = {
        let about = trial.about();
        [&about.stable, &about.candidate]
            .into_iter()
            .chain(&about.twin)
            .map(|variant| variant.model.clone())
            .collect::<Vec<_>>()
    };
    let mut leases = Vec::new();
    for model in models {
        leases.push(app.bring(&model, None).await?);
    }
    Ok(leases)
}

/// What is no longer wanted leaves memory when it has finished what it began: a twin; a candidate that was not there before; and
/// what a promoted one takes the place of, unless somebody may still mean it.
pub(super) fn give_back(app: &App, about: &About) {
    about.twin.iter().for_each(|twin| leave(app, &twin.model));
    let (unwanted, stays) = match about.is_promoted() {
        true => (&about.stable.model, is_meant(app, &about.stable.model)),
        false => (&about.candidate.model, about.was_loaded),
    };
    if !stays {
        leave(app, unwanted);
    }
}

/// Whether a route or a name that is no route means this version.
fn is_meant(app: &App, model: &str) -> bool {
    let (routes, catalog) = (app.routes.all(), app.models.read());
    let key = |name: &str| catalog.find_model(name).ok().map(|(entry, version)| (&entry.name, &version.id));
    let Some((name, id)) = key(model) else { return true };
    let by_name = routes.iter().all(|named| named.setup.name != *name) && key(name) == Some((name, id));
    let mut variants = routes.iter().flat_map(|named| &named.setup.variants);
    by_name || variants.any(|variant| key(&variant.model) == Some((name, id)))
}

fn leave(app: &App, model: &str) {
    let Some(key) = about::read(model) else { return };
    let mut catalog = app.models.write();
    let left = catalog.version_mut(&key).filter(|version| version.order.is_some()).and_then(Version::leave);
    drop(catalog);
    retire(left.map(|left| app.left(&left)));
}

impl App {
    /// Makes the models known that releases brought, and that nobody has named since the start.
    pub(crate) fn know_released(&self) {
        let mut wanted: Vec<(Key, Order)> = Vec::new();
        for trial in self.routes.releases.all() {
            let about = trial.about();
            if about.end.is_none() || about.is_promoted() {
                let read = |(model, order): &(String, Order)| Some((about::read(model)?, order.clone()));
                wanted.extend(about.orders.iter().filter_map(read));
            }
        }
        if wanted.is_empty() {
            return;
        }
        let mut catalog = self.models.write();
        // The server's own models come first: theirs is what names mean.
        if catalog.entries.is_empty() {
            return;
        }
        for (key, order) in wanted {
            if catalog.version_mut(&key).is_none() {
                let _ = catalog.know_beside(order.for_model(&key));
            }
        }
    }
}
