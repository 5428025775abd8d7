//! A release that is under way: what is told to it happens one after the other. What follows is written down, and then takes effect.

use std::sync::{Arc, Weak};
use std::time::Duration;

use release::{Decision, Entry, Event, Policy, Recorded, Sample};
use telemetry::Progress;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::seen::Seen;
use super::{End, MOST_ENTRIES, Told, Trial, hooks, models, store};
use crate::models::Lease;
use crate::{App, Kind, Problem};

/// How often time passes for a release.
const SECOND: Duration = Duration::from_secs(1);

/// Things that happen at once and are written down together, at most.
const TOGETHER: usize = 1024;

/// What a release knows.
pub(super) struct Running {
    trial: Arc<Trial>,
    recorded: Recorded,
    seen: Seen,
    /// Entries that are written down.
    kept: usize,
    durable: bool,
    /// When time passed last.
    ticked: u64,
    /// Both models stay in memory as long as these are there; none while they are being loaded.
    warm: Option<Vec<Lease>>,
    /// What somebody outside is asked about before it happens.
    asked: Option<Event>,
}

/// What comes of a round.
#[derive(Default)]
struct Round {
    entries: Vec<Entry>,
    replies: Vec<oneshot::Sender<Result<(), Problem>>>,
    /// It begins again: it began to be loaded earlier.
    begins: bool,
}

impl Running {
    /// A release that begins.
    ///
    /// # Errors
    /// If its plan cannot be followed.
    pub(super) fn begin(trial: &Arc<Trial>, durable: bool) -> Result<Running, Problem> {
        let recorded = Recorded::begin(&trial.about().beginning);
        let wrong = |error| Problem::of(Kind::Ask(answer::Kind::InvalidValue), "plan", format!("{error}."));
        Ok(Running { durable, ..Running::of(trial, recorded.map_err(wrong)?) })
    }

    /// A release as its journal left it.
    #[cfg(feature = "batches")]
    pub(super) fn restored(trial: &Arc<Trial>, recorded: Recorded, entries: Vec<Entry>) -> Running {
        let mut running = Running { durable: true, kept: entries.len(), ..Running::of(trial, recorded) };
        let evidence = running.recorded.canary().evidence();
        entries.iter().for_each(|entry| running.seen.entry(entry, evidence));
        running
    }

    fn of(trial: &Arc<Trial>, recorded: Recorded) -> Running {
        let (seen, trial) = (Seen::default(), Arc::clone(trial));
        Running { trial, recorded, seen, kept: 0, durable: false, ticked: 0, warm: None, asked: None }
    }

    /// Whether it has begun: a release that goes on after a restart need not wait for its models.
    fn has_begun(&self) -> bool {
        self.warm.is_some() || self.kept > 0
    }

    fn take(&mut self, app: &Arc<App>, told: Told, now: u64, round: &mut Round) {
        match told {
            Told::Event(event, sample) => self.event(app, (event, sample), now, round),
            Told::Command(event, reply) => {
                round.replies.push(reply);
                self.consider(app, event, now, round);
            }
            Told::Warm(Ok(leases)) => {
                round.begins = !self.has_begun();
                if round.begins {
                    self.begin_now(now);
                }
                self.warm = Some(leases);
            }
            Told::Warm(Err(problem)) if self.has_begun() => {
                tracing::error!("a model of the release cannot be loaded: {problem}");
            }
            Told::Warm(Err(problem)) => self.apply(Event::Abort { why: problem.message }, now, round),
            Told::Heard(veto) => {
                let asked = self.asked.take();
                let event = veto.map(|why| Event::Veto { why }).or(asked);
                event.into_iter().for_each(|event| self.apply(event, now, round));
            }
        }
    }

    /// The time of its first stage begins when its models are there.
    fn begin_now(&mut self, now: u64) {
        let mut about = self.trial.about();
        about.beginning.at = now;
        // Its plan has been followed before.
        if let Ok(recorded) = Recorded::begin(&about.beginning) {
            self.recorded = recorded;
        }
        self.ticked = now;
    }

    fn event(&mut self, app: &Arc<App>, (event, sample): (Event, Option<Sample>), now: u64, round: &mut Round) {
        if !self.has_begun() {
            return;
        }
        if let (Event::Outcome(outcome), Some(sample)) = (&event, sample) {
            self.seen.sample(outcome.arm, &sample);
        }
        self.consider(app, event, now, round);
    }

    /// Something has happened that may lead to more. Who is told what happens is asked before the candidate gets more.
    fn consider(&mut self, app: &Arc<App>, event: Event, now: u64, round: &mut Round) {
        let leads = matches!(event, Event::Tick | Event::Promote | Event::Compared(_));
        let asks = leads && self.asked.is_none() && app.watch.is_heard();
        match asks.then(|| hooks::foreseen(&self.recorded, &event, now)).flatten() {
            Some(decision) => {
                self.asked = Some(event);
                hooks::ask(app, &self.trial, &decision);
            }
            None => self.apply(event, now, round),
        }
    }

    fn apply(&mut self, event: Event, now: u64, round: &mut Round) {
        let entry = self.recorded.apply(now, event);
        self.seen.entry(&entry, self.recorded.canary().evidence());
        // Time that changes nothing need not be replayed.
        if !matches!(entry.event, Event::Tick) || !entry.decisions.is_empty() {
            round.entries.push(entry);
        }
    }

    /// Time passes.
    fn tick(&mut self, app: &Arc<App>, now: u64, round: &mut Round) {
        if self.has_begun() && now.saturating_sub(self.ticked) >= release::SECOND && self.asked.is_none() {
            self.ticked = now;
            self.consider(app, Event::Tick, now, round);
        }
    }

    /// Writes down what happened, and lets what was decided take effect. Says whether the release is over.
    async fn settle(&mut self, app: &Arc<App>, round: Round) -> bool {
        if round.begins || !round.entries.is_empty() {
            self.keep(app, &round).await;
        }
        let decided = round.entries.iter().any(|entry| !entry.decisions.is_empty());
        if decided || round.begins {
            self.steer(app);
        }
        if round.begins {
            hooks::begins(app, &self.trial, self.recorded.canary().share());
        }
        let over = round.entries.iter().find_map(ended);
        if let Some(end) = &over {
            self.end(app, end.clone()).await;
        }
        self.show(app);
        round.replies.into_iter().for_each(|reply| _ = reply.send(Ok(())));
        over.is_some()
    }

    async fn keep(&mut self, app: &Arc<App>, round: &Round) {
        let (id, about) = {
            let about = self.trial.about();
            (about.id.clone(), round.begins.then(|| about.clone()))
        };
        // One that is missing makes those behind it worthless.
        self.durable = self.durable && store::keep(app, &id, about, (self.kept, &round.entries)).await;
        if !self.durable {
            let mut entries = self.trial.entries();
            let room = entries.as_ref().is_some_and(|known| known.len() + round.entries.len() <= MOST_ENTRIES);
            match &mut *entries {
                Some(known) if room => known.extend(round.entries.iter().cloned()),
                known => *known = None,
            }
        }
        self.kept += round.entries.len();
    }

    /// Lets the route do what the release has decided.
    fn steer(&self, app: &App) {
        let canary = self.recorded.canary();
        let (mirrored, by) = (canary.mirrored(), canary.plan().by);
        let policy = match mirrored > 0.0 {
            true => Policy::Shadow { share: mirrored },
            false => Policy::Canary { share: canary.share(), by },
        };
        let stage = (mirrored == 0.0).then(|| canary.stage());
        let route = self.trial.about().route.clone();
        if let Some(named) = app.routes.named(&route) {
            named.steer(policy, stage);
        }
    }

    async fn end(&mut self, app: &Arc<App>, end: End) {
        let about = {
            let mut about = self.trial.about();
            about.baseline = self.seen.baseline(end.verdict);
            about.end = Some(end);
            about.clone()
        };
        let (id, why) = (about.id.clone(), about.end.as_ref().map(|end| end.why.clone()).unwrap_or_default());
        tracing::info!(id, route = about.route, verdict = ?about.end.as_ref().map(|end| end.verdict), "a release has ended: {why}");
        app.rebuild_routes();
        self.warm = None;
        models::give_back(app, &about);
        hooks::ended(app, &about);
        store::keep(app, &id, Some(about), (self.kept, &[])).await;
    }

    fn show(&self, app: &App) {
        let now = app.routes.releases.now();
        let view = self.seen.view(self.recorded.canary(), now, (!self.has_begun(), self.durable));
        let (share, stage, evidence) = (view.status.share, view.status.stage, view.status.evidence[0]);
        self.trial.view.send_replace(Arc::new(view));
        let about = self.trial.about();
        if about.end.is_none() {
            let progress = Progress { share, stage, evidence };
            app.watch.releases().progress(&about.route, &about.candidate.model, progress);
        }
    }
}

fn ended(entry: &Entry) -> Option<End> {
    entry.decisions.iter().find_map(|decision| match decision {
        Decision::Ended { verdict, why } => Some(End { at: entry.at, verdict: *verdict, why: why.clone() }),
        Decision::Share { .. } | Decision::Paused | Decision::Resumed => None,
    })
}

/// Works until the release is over, or the app is gone.
pub(super) async fn run(app: Weak<App>, mut running: Running, mut told: mpsc::Receiver<Told>) {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(app) = app.upgrade().filter(|_| running.has_begun()) {
        running.steer(&app);
        running.show(&app);
    }
    loop {
        let mut all = Vec::new();
        tokio::select! {
            count = told.recv_many(&mut all, TOGETHER) => {
                if count == 0 {
                    return;
                }
            }
            _ = seconds.tick() => {}
        }
        let Some(app) = app.upgrade() else { return };
        let (now, mut round) = (app.routes.releases.now(), Round::default());
        all.into_iter().for_each(|one| running.take(&app, one, now, &mut round));
        running.tick(&app, now, &mut round);
        if running.settle(&app, round).await {
            return;
        }
    }
}
