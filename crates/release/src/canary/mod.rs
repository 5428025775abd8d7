//! A release in stages that decides by itself: go on, go back, or give up.

mod evidence;
mod plan;
mod readings;

pub use plan::{BadPlan, Margins, Plan, SECOND, Stage};

use crate::Outcome;
use evidence::Evidence;
use serde::{Deserialize, Serialize};

/// What happens to a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A request has ended.
    Outcome(Outcome),
    /// Time passes; a few times a minute is enough.
    Tick,
    /// Somebody stops it where it is. Harm still ends it.
    Pause,
    /// It goes on.
    Resume,
    /// Somebody sends it to its next stage, whatever is not yet shown.
    Promote,
    /// Somebody ends it.
    Abort {
        /// Why.
        why: String,
    },
    /// A check outside says no.
    Veto {
        /// Why.
        why: String,
    },
}

/// How a release ended. The stable variant answers everything afterwards, unless the candidate was promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate takes the place of the stable variant.
    Promoted,
    /// The candidate does harm.
    RolledBack,
    /// Nothing was shown in time, or what was measured cannot be trusted.
    Inconclusive,
    /// Somebody ended it.
    Aborted,
}

/// What a release has decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The candidate gets another share from now on.
    Share {
        /// The stage, from 0.
        stage: usize,
        /// The candidate's share.
        share: f64,
        /// Why now.
        why: String,
    },
    /// It is over.
    Ended {
        /// How.
        verdict: Verdict,
        /// Why, in a sentence with its numbers.
        why: String,
    },
    /// It stays where it is.
    Paused,
    /// It goes on.
    Resumed,
}

/// Where a release is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The stage, from 0.
    pub stage: usize,
    /// The candidate's share.
    pub share: f64,
    /// Whether somebody has stopped it.
    pub paused: bool,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// The evidence for harm, from 1, and where it ends the release.
    pub evidence: [f64; 2],
    /// Units of this stage: of the stable variant, of the candidate.
    pub units: [u64; 2],
    /// What it waits for.
    pub waits_for: Vec<String>,
    /// Whether the stable variant keeps its capacity and stays warm: until the release is final.
    pub keep_stable: bool,
}

/// A release of a candidate beside a stable variant.
#[derive(Debug, Clone)]
pub struct Canary {
    plan: Plan,
    stage: usize,
    began: u64,
    stage_began: u64,
    paused: bool,
    verdict: Option<Verdict>,
    evidence: Evidence,
}

impl Canary {
    /// A release that begins with its first stage at the time `at`, in microseconds since whatever.
    ///
    /// # Errors
    /// If the plan cannot be followed.
    pub fn new(plan: Plan, at: u64) -> Result<Canary, BadPlan> {
        plan.check()?;
        let evidence = Evidence::new(&plan);
        Ok(Canary { plan, stage: 0, began: at, stage_began: at, paused: false, verdict: None, evidence })
    }

    /// Something has happened: what is decided by it. Nothing is, once the release has ended.
    pub fn apply(&mut self, at: u64, event: &Event) -> Vec<Decision> {
        if self.verdict.is_some() {
            return Vec::new();
        }
        match event {
            Event::Outcome(outcome) => self.outcome(outcome),
            Event::Tick => self.tick(at),
            Event::Pause => self.pause(true),
            Event::Resume => self.pause(false),
            Event::Promote => vec![self.next(at, "somebody promoted it")],
            Event::Abort { why } => vec![self.end(Verdict::Aborted, why.clone())],
            Event::Veto { why } => vec![self.end(Verdict::RolledBack, format!("vetoed: {why}"))],
        }
    }

    /// The candidate's share now.
    pub fn share(&self) -> f64 {
        match self.verdict {
            Some(Verdict::Promoted) => 1.0,
            Some(_) => 0.0,
            None => self.plan.stages[self.stage].share,
        }
    }

    /// The stage, from 0; assigned requests bring it back in their outcome.
    pub fn stage(&self) -> usize {
        self.stage
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How it ended.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// The evidence for harm; at `1 / budget` the release ends.
    pub fn evidence(&self) -> f64 {
        self.evidence.total()
    }

    /// Where it is at a time.
    pub fn status(&self, at: u64) -> Status {
        Status {
            stage: self.stage,
            share: self.share(),
            paused: self.paused,
            verdict: self.verdict,
            evidence: [self.evidence(), 1.0 / self.plan.budget],
            units: self.evidence.units,
            waits_for: if self.verdict.is_none() { self.waits_for(at) } else { Vec::new() },
            keep_stable: self.verdict != Some(Verdict::Promoted),
        }
    }

    fn outcome(&mut self, outcome: &Outcome) -> Vec<Decision> {
        self.evidence.record(outcome, &self.plan, self.stage);
        let harm = self.evidence.harm(&self.plan);
        harm.map(|why| self.end(Verdict::RolledBack, why)).into_iter().collect()
    }

    fn tick(&mut self, at: u64) -> Vec<Decision> {
        if self.paused {
            return Vec::new();
        }
        if let Some(why) = self.evidence.mismatch(self.share()) {
            return vec![self.end(Verdict::Inconclusive, why)];
        }
        let waits = self.waits_for(at);
        if waits.is_empty() {
            return vec![self.next(at, "no worse than the margins allow")];
        }
        if at.saturating_sub(self.began) >= self.plan.give_up_after {
            return vec![self.end(Verdict::Inconclusive, format!("not shown in time: {}", waits.join("; ")))];
        }
        Vec::new()
    }

    fn waits_for(&self, at: u64) -> Vec<String> {
        let stage = &self.plan.stages[self.stage];
        let mut waits = Vec::new();
        let left = stage.min_time.saturating_sub(at.saturating_sub(self.stage_began));
        if left > 0 {
            waits.push(format!("{} s more of this stage", left.div_ceil(SECOND)));
        }
        for (who, units) in ["stable variant", "candidate"].iter().zip(self.evidence.units) {
            let needed = if *who == "candidate" || stage.share < 1.0 { stage.min_samples } else { 0 };
            if units < needed {
                waits.push(format!("the {who} has answered {units} of {needed} units"));
            }
        }
        if stage.share < 1.0 {
            waits.extend(self.evidence.doubts(&self.plan, stage.share));
        }
        waits
    }

    fn next(&mut self, at: u64, why: &str) -> Decision {
        if self.stage + 1 == self.plan.stages.len() {
            return self.end(Verdict::Promoted, why.into());
        }
        self.stage += 1;
        self.stage_began = at;
        let share = self.plan.stages[self.stage].share;
        self.evidence.begin(&self.plan, share);
        Decision::Share { stage: self.stage, share, why: why.into() }
    }

    fn pause(&mut self, pause: bool) -> Vec<Decision> {
        if self.paused == pause {
            return Vec::new();
        }
        self.paused = pause;
        vec![if pause { Decision::Paused } else { Decision::Resumed }]
    }

    fn end(&mut self, verdict: Verdict, why: String) -> Decision {
        self.verdict = Some(verdict);
        Decision::Ended { verdict, why }
    }
}
