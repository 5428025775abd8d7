//! Traffic on a release: who is asked, and when the release decides what.

use crate::world::{Dice, Variant};
use release::{Arm, Canary, Decision, Event, Outcome, Plan, SECOND, Verdict};

/// Who behaves how at what time.
pub(crate) struct World<F: Fn(Arm, u64) -> Option<Variant>> {
    /// `None`: no answer of that arm at that time.
    pub(crate) behaves: F,
    /// Requests in a second.
    pub(crate) rate: u64,
    /// What part of the requests goes to the candidate, over what should.
    pub(crate) bias: f64,
}

impl<F: Fn(Arm, u64) -> Option<Variant>> World<F> {
    /// Runs a release to its end, or to twice the time that it has; what it decided, and when.
    pub(crate) fn run(&self, plan: &Plan, seed: u64) -> (Canary, Vec<(u64, Decision)>) {
        let mut canary = Canary::new(plan.clone(), 0).expect("the plan is sane");
        let (mut dice, mut decided) = (Dice(seed), Vec::new());
        let step = SECOND / self.rate;
        for i in 0..2 * plan.give_up_after / step {
            let at = i * step;
            let outcome = self.next(&canary, &mut dice, at);
            let outcome = outcome.map(|o| canary.apply(at, &Event::Outcome(o))).unwrap_or_default();
            decided.extend(outcome.into_iter().map(|d| (at, d)));
            if at.is_multiple_of(SECOND) {
                decided.extend(canary.apply(at, &Event::Tick).into_iter().map(|d| (at, d)));
            }
            if canary.verdict().is_some() {
                break;
            }
        }
        (canary, decided)
    }

    fn next(&self, canary: &Canary, dice: &mut Dice, at: u64) -> Option<Outcome> {
        let share = canary.share() * self.bias;
        let place = dice.uniform();
        let twin = canary.plan().twin && place >= 1.0 - share;
        let arm = if place < share {
            Arm::Candidate
        } else if twin {
            Arm::Twin
        } else {
            Arm::Stable
        };
        // A stable variant has run for long, whatever the release's age.
        let age = if arm == Arm::Stable { at + 3600 * SECOND } else { at };
        let outcome = (self.behaves)(arm, at)?.outcome(dice, arm, age);
        Some(Outcome { stage: canary.stage(), ..outcome })
    }
}

/// How a release ended, and why.
pub(crate) fn ending(decided: &[(u64, Decision)]) -> Option<(Verdict, &str)> {
    match &decided.last()?.1 {
        Decision::Ended { verdict, why } => Some((*verdict, why)),
        _ => None,
    }
}
