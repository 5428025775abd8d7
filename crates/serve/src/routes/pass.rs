//! A request on its way through a route: who answers it, who failed before, and how it ended.

use std::sync::Arc;
use std::time::Instant;

use answer::{Answer, Ask};
use release::{Arm, Choice, Ended, Event, Outcome, Readings, Sample};
use telemetry::Routed;

use super::Named;
use super::marks::Answered;
use super::mirror::Mirrored;
use crate::releases::Told;
use crate::{App, Problem};

/// A request that a variant answers. Dropping it says that it ended in some other way, such as by its client's going.
pub(crate) struct Pass {
    named: Arc<Named>,
    choice: Choice,
    began: Instant,
    /// The variant that failed before its first token, while another answers.
    fallen: Option<usize>,
    /// The stage of a release in which it was assigned.
    stage: Option<usize>,
    /// For how long the model had been serving, in microseconds.
    age: u64,
    open: bool,
    /// Whether the mirror is outstanding.
    mirror_open: bool,
}

/// How an answer went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct How {
    pub(crate) failed: bool,
    /// Tokens of its prompt.
    pub(crate) prompt: u64,
    /// In microseconds.
    pub(crate) first_token: Option<u64>,
    pub(crate) total: u64,
    /// Generated.
    pub(crate) tokens: u64,
    /// From 0 to 1, where that can be told.
    pub(crate) quality: Option<f64>,
}

impl Pass {
    pub(super) fn new(named: Arc<Named>, (choice, stage): (Choice, Option<usize>)) -> Pass {
        let mirror_open = choice.mirror.is_some();
        Pass { named, choice, began: Instant::now(), fallen: None, stage, age: 0, open: true, mirror_open }
    }

    /// The model that answers has been serving for so many microseconds.
    pub(crate) fn serves_for(&mut self, age: u64) {
        self.age = age;
    }

    /// The name that the client used, or that it stands for.
    pub(crate) fn public(&self) -> &str {
        &self.named.setup.name
    }

    /// The model that answers.
    pub(crate) fn model(&self) -> &str {
        self.named.model(self.choice.target.variant)
    }

    /// The variant that answers.
    pub(crate) fn variant(&self) -> &str {
        self.id_of(self.choice.target.variant)
    }

    /// The variant that failed.
    pub(crate) fn fallen(&self) -> Option<&str> {
        self.fallen.map(|variant| self.id_of(variant))
    }

    /// As an answer that may be marked. One that another variant had to give is none of the release's.
    pub(crate) fn answered(&self) -> Answered {
        let arm = arm(self.choice.target.variant);
        let trial = self.named.trial.as_ref().zip(self.stage).filter(|_| self.fallen.is_none());
        let trial = trial.map(|(trial, stage)| (Arc::clone(trial), arm, self.choice.unit, stage));
        let (public, variant) = (self.public().to_owned(), Some(self.variant().to_owned()));
        Answered { public, variant, trial, ..Answered::default() }
    }

    fn id_of(&self, variant: usize) -> &str {
        self.named.setup.variants.get(variant).map_or("", |variant| &variant.id)
    }

    /// The model that answers if this one does not: the first variant's, unless it is that one's.
    pub(crate) fn instead(&self) -> Option<&str> {
        let other = self.choice.target.variant != 0 && self.fallen.is_none();
        other.then(|| self.named.model(0)).filter(|model| *model != self.model())
    }

    /// Whether another variant is to see it, unseen.
    pub(super) fn is_mirrored(&self) -> bool {
        self.mirror_open
    }

    /// Lets the other variant see it, and how it was answered.
    pub(super) fn mirror(&mut self, app: &Arc<App>, ask: Ask, answer: Answer) {
        if std::mem::replace(&mut self.mirror_open, false) {
            app.mirror(Mirrored { named: Arc::clone(&self.named), choice: self.choice, ask, answer });
        }
    }

    /// The first variant answers: this one failed before its first token.
    pub(crate) fn fall_back(&mut self) {
        let before = self.choice;
        let next = self.named.route().fail_over(&before, &self.ended(true));
        self.told(before.target.variant, &How { failed: true, ..How::default() });
        self.named.metrics.routed(self.public(), self.id_of(before.target.variant), Routed::FellBack);
        self.fallen = Some(before.target.variant);
        match next {
            Some(next) => self.choice = next,
            // The first variant is said to be down, and answers: nothing is outstanding there that would have to be taken back.
            None => self.open = false,
        }
    }

    /// It has not been answered. Who is to blame counts it.
    pub(crate) fn refused(mut self, problem: &Problem) {
        if is_request(problem) {
            return;
        }
        self.end(&How { failed: true, ..How::default() });
    }

    /// It has ended.
    pub(crate) fn end(&mut self, how: &How) {
        if std::mem::replace(&mut self.open, false) {
            self.named.route().record(&self.choice, &self.ended(how.failed));
        }
        if self.fallen.is_none() {
            self.told(self.choice.target.variant, how);
        }
    }

    /// Tells what judges variants.
    fn told(&self, variant: usize, how: &How) {
        if let Some(mut tried) = self.named.tried() {
            tried.record(variant, self.choice.unit, how);
        }
        let sample = Sample { prompt_tokens: how.prompt, total: how.total, tokens: how.tokens, failed: how.failed };
        if let (Some(trial), Some(stage)) = (&self.named.trial, self.stage) {
            let outcome = self.outcome(arm(variant), stage, how);
            trial.tell(Told::Event(Event::Outcome(outcome), Some(sample)));
        }
        if variant == 0 {
            self.named.watch(&sample);
        }
        let (metrics, route, variant) = (&self.named.metrics, self.public(), self.id_of(variant));
        metrics.routed(route, variant, Routed::Ended);
        if how.failed {
            metrics.routed(route, variant, Routed::Failed);
        }
    }

    fn outcome(&self, arm: Arm, stage: usize, how: &How) -> Outcome {
        let after_first = how.first_token.map(|first| how.total.saturating_sub(first));
        let readings = Readings {
            first_token: how.first_token,
            between_tokens: after_first.filter(|_| how.tokens > 1).map(|time| time / (how.tokens - 1)),
            total: Some(how.total),
            per_token: (how.tokens > 0).then(|| how.total / how.tokens),
            quality: how.quality,
        };
        let readings = if how.failed { Readings::default() } else { readings };
        Outcome { arm, unit: self.choice.unit, stage, failed: how.failed, age: self.age, readings }
    }

    fn ended(&self, failed: bool) -> Ended {
        Ended { failed, seconds: self.began.elapsed().as_secs_f64() }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // Nobody knows how long it would have taken.
        let gone = Ended { failed: false, seconds: f64::NAN };
        if self.open {
            self.named.route().record(&self.choice, &gone);
        }
        if self.mirror_open {
            self.named.route().record_mirror(&self.choice, &gone);
        }
    }
}

/// Which side of a release a variant is.
fn arm(variant: usize) -> Arm {
    [Arm::Stable, Arm::Candidate, Arm::Twin][variant.min(2)]
}

/// Whether the request itself is at fault, whoever is asked.
pub(crate) fn is_request(problem: &Problem) -> bool {
    use answer::Kind as Asked;
    let crate::Kind::Ask(kind) = problem.kind else {
        return matches!(problem.kind, crate::Kind::ModelNotFound | crate::Kind::Draining | crate::Kind::Loading);
    };
    match kind {
        Asked::InvalidType | Asked::InvalidValue | Asked::Missing | Asked::Unsupported | Asked::ContextLength => true,
        Asked::Busy | Asked::TooLateNow | Asked::TooLate | Asked::Draining => false,
        Asked::Failed | Asked::Unavailable | Asked::TimeLimit | Asked::Internal => false,
    }
}
