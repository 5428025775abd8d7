//! A release begins: what is stable, what is the candidate, and whether both may be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use release::{Beginning, Plan, Policy, Variant};
use tokio::sync::{mpsc, watch};

use super::about::{self, Order};
use super::running::{Running, run};
use super::{About, Trial, WAITING, models, store};
use crate::models::{Key, Version};
use crate::wire::unique;
use crate::{App, Kind, LoadOrder, Problem};

/// What a version of the stable model is called besides that is as cold as the candidate.
const TWIN: &str = "-twin";

/// A release that somebody wants.
pub(crate) struct Wanted {
    pub(crate) route: String,
    pub(crate) candidate: Candidate,
    pub(crate) known: KnownBefore,
    /// What people call it.
    pub(crate) name: Option<String>,
    pub(crate) plan: Plan,
}

/// What is known of a candidate before anybody asks it, such as a lab's report says.
pub(crate) struct KnownBefore {
    pub(crate) weight_type: String,
    /// Bytes of the weights; 0 if nobody says.
    pub(crate) bytes: u64,
    /// Scores of evaluations; higher is better.
    pub(crate) quality: BTreeMap<String, f64>,
}

/// What is to take the place of the stable variant.
pub(crate) enum Candidate {
    /// A model that the server knows.
    Known(String),
    /// One that is to be loaded beside the stable one, as a version of its name.
    Source(LoadOrder),
}

/// What is stable now.
struct Stable {
    route: String,
    base: String,
    variant: Variant,
    key: Key,
}

impl App {
    /// Begins a release; models are loaded in the background.
    ///
    /// # Errors
    /// If there is no such route or model, another release is under way there, or the plan cannot be followed.
    pub(crate) async fn start_release(self: &Arc<Self>, wanted: Wanted) -> Result<Arc<Trial>, Problem> {
        let releases = &self.routes.releases;
        let _alone = releases.starting.lock().await;
        wanted.plan.check().map_err(|error| refused("plan", format!("{error}.")))?;
        let stable = self.stable(&wanted.route)?;
        if let Some(open) = releases.open(&stable.route) {
            let (id, route) = (open.about().id.clone(), &stable.route);
            let message =
                format!("The release {id} is under way on {route}. Abort it first, or wait until it has ended.");
            return Err(Problem::of(Kind::ReleaseConflict, "route", message));
        }
        let key = self.candidate(&wanted.candidate, &stable)?;
        let twin = if wanted.plan.twin { Some(self.twin(&stable)?) } else { None };
        let (about, plan) = (self.describe(stable, (&key, twin.as_ref()), &wanted), wanted.plan);
        let id = about.id.clone();
        store::keep(self, &id, Some(about.clone()), (0, &[])).await;
        tracing::info!(id, route = about.route, candidate = about.candidate.model, "a release begins");
        let (trial, told) = Trial::new(about, &plan);
        let running = Running::begin(&trial, store::keeps(self))?;
        let forgotten = releases.add(Arc::clone(&trial));
        if !forgotten.is_empty() {
            store::forget(self, forgotten).await;
        }
        self.rebuild_routes();
        tokio::spawn(run(Arc::downgrade(self), running, told));
        models::warm(self, &trial);
        Ok(trial)
    }

    fn stable(&self, route: &str) -> Result<Stable, Problem> {
        let named = self.route(Some(route));
        let single = |policy: &Policy| matches!(policy, Policy::Single | Policy::Canary { .. } | Policy::Shadow { .. });
        let (route, base, variant) = match &named {
            Some(named) if single(&named.setup.policy) || named.setup.variants.len() == 1 => {
                let (name, first) = (named.setup.name.clone(), named.setup.variants[0].clone());
                let described = self.routes.described(&name).unwrap_or_else(|| name.clone());
                (name, described, first)
            }
            Some(named) => {
                let message = format!(
                    "The route {} has several variants that answer side by side; a release needs one with the policy single, canary or shadow.",
                    named.setup.name
                );
                return Err(refused("route", message));
            }
            None => {
                let key = self.models.read().key(route);
                let none = |_| {
                    let message =
                        format!("There is no route and no model {route}; GET /admin/routes and /v1/models list them.");
                    Problem::of(Kind::RouteNotFound, "route", message)
                };
                let name = key.map_err(none)?.name;
                (name.clone(), name.clone(), Variant { model: name, ..Variant::new("stable", &["cpu"]) })
            }
        };
        let catalog = self.models.read();
        let (entry, version) = catalog.find_model(&variant.model)?;
        let key = Key { name: entry.name.clone(), version: version.id.clone() };
        Ok(Stable { route, base, variant: Variant { model: about::written(&key), ..variant }, key })
    }

    fn candidate(&self, candidate: &Candidate, stable: &Stable) -> Result<Key, Problem> {
        let key = match candidate {
            Candidate::Known(name) => {
                let catalog = self.models.read();
                let (entry, version) = catalog
                    .find_model(name)
                    .map_err(|problem| Problem { param: Some("candidate".to_owned()), ..problem })?;
                Key { name: entry.name.clone(), version: version.id.clone() }
            }
            Candidate::Source(order) => {
                let order = LoadOrder { name: Some(stable.key.name.clone()), ..order.clone() };
                self.models.write().know_beside(order)?
            }
        };
        if key == stable.key {
            let message = format!("{} is what answers already; name another model or version.", about::written(&key));
            return Err(refused("candidate", message));
        }
        Ok(key)
    }

    /// The stable model once more, as a version of its own. The weights of one file are in memory once.
    fn twin(&self, stable: &Stable) -> Result<Key, Problem> {
        let mut catalog = self.models.write();
        let (_, version) = catalog.find_model(&about::written(&stable.key))?;
        let Some(order) = version.order.clone() else {
            let message = format!(
                "{} cannot be loaded once more, as nothing says from where; release without a twin.",
                stable.key.name
            );
            return Err(refused("plan", message));
        };
        let key = Key { name: stable.key.name.clone(), version: format!("{}{TWIN}", stable.key.version) };
        if catalog.version_mut(&key).is_some() {
            return Ok(key);
        }
        catalog.know_beside(LoadOrder { name: Some(key.name.clone()), version: Some(key.version.clone()), ..order })
    }

    fn describe(&self, stable: Stable, (key, twin): (&Key, Option<&Key>), wanted: &Wanted) -> About {
        let catalog = self.models.read();
        let version = |key: &Key| catalog.find_model(&about::written(key)).ok().map(|(_, version)| version);
        let order = |key: &Key| {
            let order = version(key)?.order.as_ref().map(Order::of)?;
            Some((about::written(key), order))
        };
        let was_loaded = version(key).and_then(Version::resident).is_some();
        let orders = [&stable.key, key].into_iter().chain(twin).filter_map(order).collect();
        let twin =
            twin.map(|key| Variant { id: "twin".to_owned(), model: about::written(key), ..stable.variant.clone() });
        let id = unique("rel_");
        let candidate = Variant {
            id: "candidate".to_owned(),
            model: about::written(key),
            weight_type: wanted.known.weight_type.clone(),
            bytes: wanted.known.bytes,
            quality: wanted.known.quality.clone(),
            settings: version(key).and_then(|version| version.order.as_ref()).map(settings).unwrap_or_default(),
            devices: stable.variant.devices.clone(),
        };
        let name = wanted.name.clone().unwrap_or_else(|| format!("{} for {}", candidate.model, stable.route));
        let (salt, at) = (id.clone(), self.routes.releases.now());
        let beginning = Beginning { name: name.clone(), salt, at, plan: wanted.plan.clone() };
        let Stable { route, base, variant: stable, .. } = stable;
        let stable = if stable.id == "candidate" { Variant { id: "stable".to_owned(), ..stable } } else { stable };
        About {
            id,
            name,
            route,
            base,
            stable,
            candidate,
            twin,
            orders,
            was_loaded,
            beginning,
            end: None,
            baseline: None,
        }
    }
}

/// What of an order differs from the server's settings.
fn settings(order: &LoadOrder) -> BTreeMap<String, String> {
    let given = [("context", order.context), ("kv_tokens", order.kv_tokens), ("max_sequences", order.max_sequences)];
    let numbers = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_string())));
    numbers.chain(order.draft_model.iter().map(|model| ("draft_model".to_owned(), model.clone()))).collect()
}

impl Trial {
    /// A release of which nothing is known yet, and what it is told.
    pub(super) fn new(about: About, plan: &Plan) -> (Arc<Trial>, mpsc::Receiver<super::Told>) {
        let (tell, told) = mpsc::channel(WAITING);
        let view = watch::Sender::new(Arc::new(super::View::empty(plan, about.beginning.at)));
        let entries = Mutex::new(Some(Vec::new()));
        (Arc::new(Trial { about: Mutex::new(about), tell, view, entries }), told)
    }
}

fn refused(param: &str, message: String) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), param, message)
}
