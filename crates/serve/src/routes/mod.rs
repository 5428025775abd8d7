//! Routes: public names over variants. In one place it is decided which variant answers a request, and heard how that went.

mod asker;
mod heard;
#[cfg(feature = "batches")]
mod learned;
mod marks;
mod mirror;
mod pass;
mod rebuilt;
mod shown;
mod tried;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use answer::LoadedModel;
use release::{Allowed, Comparison, Plan, Policy, Problem as Wrong, Route, Sample, Shadow, Target, Variant, Watch};
use telemetry::ReleaseMetrics;
use tokio::time::{MissedTickBehavior, interval};

pub(crate) use self::asker::Asker;
pub(crate) use self::heard::hear;
#[cfg(feature = "batches")]
pub(crate) use self::learned::{keep, restore};
pub(crate) use self::marks::Answered;
use self::marks::Marks;
use self::mirror::Mirrors;
pub(crate) use self::pass::Pass;
use self::rebuilt::Rebuilt;
pub(crate) use self::shown::{all as shown, one as shown_one, unit};
use self::tried::Tried;
use crate::models::Version;
use crate::releases::{Releases, Trial};
use crate::{App, Kind, Problem, releases};

/// How often it is looked which models answer.
const SECOND: Duration = Duration::from_secs(1);

/// A route, as somebody wants it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteSetup {
    /// The name that clients use.
    pub name: String,
    /// Who answers.
    pub policy: Policy,
    /// Among whom. The model of each is a name that the server knows, with or without a version.
    pub variants: Vec<Variant>,
    /// What releases on this route do where they do not say.
    pub plan: Plan,
}

/// The routes of a server.
#[derive(Default)]
pub(crate) struct Routes {
    all: RwLock<Vec<Arc<Named>>>,
    /// As an operator described them last.
    setups: RwLock<Vec<RouteSetup>>,
    /// Over replicas of one model each.
    replicated: RwLock<Vec<RouteSetup>>,
    pub(crate) releases: Releases,
    mirrors: Mirrors,
    marks: Marks,
}

/// A route with its name.
pub(crate) struct Named {
    pub(crate) setup: RouteSetup,
    route: Mutex<Route>,
    /// What an A/B test has shown.
    tried: Option<Mutex<Tried>>,
    /// The release that is under way.
    pub(crate) trial: Option<Arc<Trial>>,
    /// Its stage; [`NO_STAGE`] while nobody sees the candidate. It is read and written under the lock of the route.
    stage: AtomicUsize,
    /// Whether the first variant is still as good as a release left it.
    watch: Mutex<Watched>,
    /// What a mirror has shown that no release has asked for.
    shadow: Option<Mutex<Shadow>>,
    /// What of this the database has.
    #[cfg(feature = "batches")]
    kept: Mutex<learned::Learned>,
    metrics: ReleaseMetrics,
}

/// There is no stage in which requests count.
const NO_STAGE: usize = usize::MAX;

/// Requests between two false alarms of a watch, on average.
const PATIENCE: f64 = 1e6;

/// What is known of a variant beside its baseline.
#[derive(Default)]
struct Watched {
    watch: Option<Watch>,
    /// What is worse than it was, in a sentence.
    alarm: Option<String>,
    /// Whether somebody was told of that.
    told: bool,
}

impl Routes {
    /// The route of exactly this name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Named>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|named| named.setup.name == name).cloned()
    }

    /// Every route, in the order in which they were given.
    pub(crate) fn all(&self) -> Vec<Arc<Named>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first model of a route, as an operator has described it.
    pub(crate) fn described(&self, name: &str) -> Option<String> {
        let setups = self.setups();
        setups.iter().find(|setup| setup.name == name)?.variants.first().map(|variant| variant.model.clone())
    }

    /// As an operator described them, and those over replicas whose names none of these has.
    fn setups(&self) -> Vec<RouteSetup> {
        let mut setups = self.setups.read().unwrap_or_else(PoisonError::into_inner).clone();
        let replicated = self.replicated.read().unwrap_or_else(PoisonError::into_inner);
        let others = replicated.iter().filter(|own| setups.iter().all(|setup| setup.name != own.name)).cloned();
        let others: Vec<RouteSetup> = others.collect();
        setups.extend(others);
        setups
    }

    /// Adds a route over replicas of one model.
    pub(crate) fn replicate(&self, setup: RouteSetup) {
        let mut replicated = self.replicated.write().unwrap_or_else(PoisonError::into_inner);
        replicated.retain(|known| known.name != setup.name);
        replicated.push(setup);
    }

    /// The ids of the further replicas of a model.
    pub(crate) fn replicas(&self, name: &str) -> Vec<String> {
        let replicated = self.replicated.read().unwrap_or_else(PoisonError::into_inner);
        let of = replicated.iter().filter(|setup| setup.name == name);
        of.flat_map(|setup| setup.variants.iter().skip(1)).map(|variant| variant.id.clone()).collect()
    }

    fn are_none(&self) -> bool {
        self.all.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Named {
    /// # Errors
    /// If the policy does not fit the variants.
    fn new(rebuilt: Rebuilt, metrics: ReleaseMetrics) -> Result<Named, Problem> {
        let Rebuilt { setup, trial, baseline } = rebuilt;
        let salt = trial.as_ref().map_or_else(|| setup.name.clone(), |trial| trial.about().beginning.salt.clone());
        let route = Route::new(&setup.name, setup.variants.clone(), setup.policy.clone(), &salt).map_err(wrong)?;
        let tried = Tried::of(&setup.policy).map(Mutex::new);
        let watch = baseline.map(|baseline| Watch::new(&baseline, &Allowed::default(), PATIENCE));
        let watch = Mutex::new(Watched { watch, ..Watched::default() });
        let mirrors = matches!(setup.policy, Policy::Shadow { .. });
        let limits = setup.plan.shadow.map(|shadow| shadow.limits).unwrap_or_default();
        let shadow = mirrors.then(|| Mutex::new(Shadow::new(limits)));
        let (route, stage) = (Mutex::new(route), AtomicUsize::new(NO_STAGE));
        Ok(Named {
            setup,
            route,
            tried,
            trial,
            stage,
            watch,
            shadow,
            #[cfg(feature = "batches")]
            kept: Mutex::default(),
            metrics,
        })
    }

    /// Stands where the release that is under way has brought the route, whatever else is described anew.
    fn go_on_from(&self, before: &[Arc<Named>]) {
        let id = |named: &Named| named.trial.as_ref().map(|trial| trial.about().id.clone());
        let Some(wanted) = id(self) else { return };
        let Some(same) = before.iter().find(|named| id(named).as_ref() == Some(&wanted)) else { return };
        let (policy, stage) = {
            let route = same.route();
            (route.policy().clone(), same.stage())
        };
        self.steer(policy, stage);
    }

    /// Does what a release has decided from now on.
    pub(crate) fn steer(&self, policy: Policy, stage: Option<usize>) {
        let mut route = self.route();
        if let Err(error) = route.set_policy(policy) {
            return tracing::error!(route = self.setup.name, "a release cannot have its way: {error}");
        }
        self.stage.store(stage.unwrap_or(NO_STAGE), Ordering::Relaxed);
    }

    /// The stage in which what is assigned now counts. The route is locked.
    fn stage(&self) -> Option<usize> {
        Some(self.stage.load(Ordering::Relaxed)).filter(|stage| *stage != NO_STAGE)
    }

    /// A request to the first variant has ended.
    fn watch(&self, sample: &Sample) {
        let mut watched = self.watched();
        let Some(alarm) = watched.watch.as_mut().and_then(|watch| watch.record(sample)) else { return };
        // It says so once.
        *watched = Watched { watch: None, alarm: Some(alarm), told: false };
    }

    /// What has become worse than the baseline, if nobody was told yet.
    fn alarm(&self) -> Option<String> {
        let mut watched = self.watched();
        let alarm = watched.alarm.clone().filter(|_| !watched.told)?;
        watched.told = true;
        Some(alarm)
    }

    /// Two answers have been compared.
    fn compare(&self, comparison: &Comparison) {
        if let Some(mut shadow) = self.shadow() {
            shadow.record(comparison);
        }
    }

    fn shadow(&self) -> Option<MutexGuard<'_, Shadow>> {
        self.shadow.as_ref().map(|shadow| shadow.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tried(&self) -> Option<MutexGuard<'_, Tried>> {
        self.tried.as_ref().map(|tried| tried.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The model of a variant.
    fn model(&self, variant: usize) -> &str {
        self.setup.variants.get(variant).map_or("", |variant| &variant.model)
    }
}

impl App {
    /// Answers these public names from now on, beside those that releases have made. A route that has not changed keeps what it knows;
    /// one with a release under way changes when that has ended.
    ///
    /// # Errors
    /// If two routes have one name, or a policy does not fit its variants; then nothing changes.
    pub fn set_routes(&self, setups: Vec<RouteSetup>) -> Result<(), Problem> {
        setups.iter().try_for_each(|setup| check(setup, &setups))?;
        *self.routes.setups.write().unwrap_or_else(PoisonError::into_inner) = setups;
        self.rebuild_routes();
        Ok(())
    }

    /// Makes routes of what the operator has described and of what releases have come to.
    pub(crate) fn rebuild_routes(&self) {
        let before = self.routes.all();
        let named = |rebuilt: Rebuilt| match before.iter().find(|named| rebuilt.is(named)) {
            Some(same) => Some(Arc::clone(same)),
            None => match Named::new(rebuilt, self.watch.releases().clone()) {
                Ok(named) => {
                    named.go_on_from(&before);
                    Some(Arc::new(named))
                }
                Err(problem) => {
                    tracing::error!("a route is left out: {problem}");
                    None
                }
            },
        };
        let all = rebuilt::all(self.routes.setups(), &self.routes.releases.all());
        let all: Vec<Arc<Named>> = all.into_iter().filter_map(named).collect();
        #[cfg(feature = "batches")]
        learned::go_on(self, all.iter().filter(|named| !before.iter().any(|same| Arc::ptr_eq(same, named))));
        let first = |named: &Arc<Named>| (named.setup.name.clone(), named.model(0).to_owned());
        self.models.write().routes = all.iter().map(first).collect();
        *self.routes.all.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// The route that a request's model is the name of: its own, or that of a model or an alias for one.
    pub(crate) fn route(&self, name: Option<&str>) -> Option<Arc<Named>> {
        if self.routes.are_none() {
            return None;
        }
        let name = name.unwrap_or_default();
        self.routes.named(name).or_else(|| {
            let meant = self.models.read().unversioned(name)?;
            self.routes.named(&meant)
        })
    }

    /// The name of who answers as clients know it: that of the route they asked for, else the model's own.
    pub(crate) fn public_name(&self, asked: Option<&str>, model: &LoadedModel) -> String {
        self.route(asked).map_or_else(|| model.info.name.clone(), |named| named.setup.name.clone())
    }

    /// Tells routes which of their models answer: those whose engine has failed do not.
    fn look_after_routes(&self) {
        self.know_released();
        for named in self.routes.all() {
            if let Some(alarm) = named.alarm() {
                tracing::warn!(route = named.setup.name, "worse than the baseline: {alarm}");
                releases::alarm(self, &named.setup.name, &alarm);
            }
        }
        // Of a release it is known what fails.
        for named in self.routes.all().into_iter().filter(|named| named.trial.is_none()) {
            let catalog = self.models.read();
            let dead = |model: &str| catalog.find_model(model).ok().and_then(|(_, version)| failed(version));
            let up: Vec<bool> = named.setup.variants.iter().map(|variant| dead(&variant.model).is_none()).collect();
            drop(catalog);
            let mut route = named.route();
            for (variant, (up, description)) in up.iter().zip(&named.setup.variants).enumerate() {
                (0..description.devices.len()).for_each(|device| route.set_up(Target { variant, device }, *up));
            }
        }
    }
}

/// Looks after routes once a second, until the app is gone.
pub(crate) async fn run(app: Weak<App>) {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let Some(app) = app.upgrade() else { return };
        app.look_after_routes();
        #[cfg(feature = "batches")]
        keep(&app).await;
    }
}

/// Why a model in memory answers nobody, if it does not.
fn failed(version: &Version) -> Option<()> {
    let failed = matches!(version.model()?.engine().liveness(), engine::Liveness::Failed(_));
    failed.then_some(())
}

/// What a policy cannot know.
fn check(setup: &RouteSetup, all: &[RouteSetup]) -> Result<(), Problem> {
    let name = &setup.name;
    let refused = |what: String| Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "routes", what));
    if name.is_empty() || name.contains('@') || name == "default" {
        return refused(format!("a route's name is not empty, not `default` and has no @, unlike `{name}`."));
    }
    if all.iter().filter(|other| other.name == *name).count() > 1 {
        return refused(format!("two routes have the name {name}."));
    }
    for variant in &setup.variants {
        if setup.variants.iter().filter(|other| other.id == variant.id).count() > 1 || variant.id.is_empty() {
            return refused(format!("route {name}: each variant needs an id of its own; two are `{}`.", variant.id));
        }
        // The first variant is what the name itself means wherever there is nothing to choose.
        let clash = all.iter().any(|route| route.name == variant.model);
        if clash && (variant.model != *name || setup.variants.first() != Some(variant)) {
            let model = &variant.model;
            return refused(format!("route {name}: the model {model} is a route; name a version of it: {model}@1."));
        }
    }
    Route::new(name, setup.variants.clone(), setup.policy.clone(), name).map(drop).map_err(wrong)
}

fn wrong(wrong: Wrong) -> Problem {
    let kind = if matches!(wrong, Wrong::Nobody(_)) { Kind::NotLoaded } else { Kind::Ask(answer::Kind::InvalidValue) };
    Problem::of(kind, "model", format!("{wrong}."))
}
