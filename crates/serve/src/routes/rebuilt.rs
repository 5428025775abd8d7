//! What routes there are: what an operator has described, and what releases have made of it.

use std::sync::Arc;

use release::{Baseline, Policy, Variant};

use super::{Named, RouteSetup};
use crate::releases::{About, Trial};

/// A route as it is to be.
pub(super) struct Rebuilt {
    pub(super) setup: RouteSetup,
    /// The release that is under way.
    pub(super) trial: Option<Arc<Trial>>,
    /// What the last release left behind of the first variant.
    pub(super) baseline: Option<Baseline>,
}

/// All routes; releases come oldest first.
pub(super) fn all(setups: Vec<RouteSetup>, trials: &[Arc<Trial>]) -> Vec<Rebuilt> {
    let described = |setup| Rebuilt { setup, trial: None, baseline: None };
    let mut all: Vec<Rebuilt> = setups.into_iter().map(described).collect();
    for trial in trials {
        let about = trial.about().clone();
        let known = all.iter_mut().find(|rebuilt| rebuilt.setup.name == about.route);
        match (known, about.end.is_none()) {
            (Some(known), true) => {
                (known.setup, known.trial) = (under_way(&about, &known.setup), Some(Arc::clone(trial)));
            }
            (None, true) => {
                let setup = under_way(&about, &RouteSetup::default());
                all.push(Rebuilt { setup, trial: Some(Arc::clone(trial)), baseline: None });
            }
            (Some(known), false) => ended(about, known),
            (None, false) if about.is_promoted() => all.push(promoted(about)),
            (None, false) => {}
        }
    }
    all
}

/// Nobody meets the candidate until the release says so.
fn under_way(about: &About, before: &RouteSetup) -> RouteSetup {
    RouteSetup {
        name: about.route.clone(),
        policy: Policy::Canary { share: 0.0, by: about.beginning.plan.by },
        variants: [&about.stable, &about.candidate].into_iter().chain(&about.twin).cloned().collect(),
        plan: before.plan.clone(),
    }
}

/// A route that a release has made out of a model's name.
fn promoted(about: About) -> Rebuilt {
    let variant = Variant { id: "stable".to_owned(), ..about.candidate };
    let setup = RouteSetup { name: about.route, variants: vec![variant], ..RouteSetup::default() };
    Rebuilt { setup, trial: None, baseline: about.baseline }
}

/// What a release has come to holds as long as the route is described as it was then.
fn ended(about: About, known: &mut Rebuilt) {
    let promoted = about.is_promoted();
    let Some(first) = known.setup.variants.first_mut() else { return };
    if first.model != about.base && first.model != about.stable.model {
        return;
    }
    if promoted {
        first.model = about.candidate.model;
    }
    known.baseline = about.baseline.or(known.baseline.take());
}

impl Rebuilt {
    /// Whether it is this route, which knows something already.
    pub(super) fn is(&self, named: &Named) -> bool {
        let id = |trial: &Option<Arc<Trial>>| trial.as_ref().map(|trial| trial.about().id.clone());
        self.setup == named.setup && id(&self.trial) == id(&named.trial)
    }
}
