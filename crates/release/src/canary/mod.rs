//! A release in stages that decides by itself: go on, go back, or give up.

mod evidence;
mod feedback;
mod plan;
mod readings;

pub use plan::{BadPlan, Margins, Plan, SECOND, Shadowing, Stage};

use crate::{Arm, Comparison, Likeness, Outcome, Shadow};
use evidence::Evidence;
use serde::{Deserialize, Serialize};

/// What happens to a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A request has ended.
    Outcome(Outcome),
    /// Two answers to one request have been compared.
    Compared(Comparison),
    /// A client says how good an answer was.
    Feedback {
        /// Who answered.
        arm: Arm,
        /// The hash of its unit.
        unit: u64,
        /// The stage in which it was assigned.
        stage: usize,
        /// From 0, useless, to 1, right.
        score: f64,
    },
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
    shadow: Option<Shadow>,
    /// Whether the first stage is still to come.
    mirroring: bool,
}

impl Canary {
    /// A release that begins with its first stage at the time `at`, in microseconds since whatever.
    ///
    /// # Errors
    /// If the plan cannot be followed.
    pub fn new(plan: Plan, at: u64) -> Result<Canary, BadPlan> {
        plan.check()?;
        let evidence = Evidence::new(&plan);
        let shadow = plan.shadow.map(|shadow| Shadow::new(shadow.limits));
        let mirroring = shadow.is_some();
        let (began, stage_began) = (at, at);
        Ok(Canary { plan, stage: 0, began, stage_began, paused: false, verdict: None, evidence, shadow, mirroring })
    }

    /// Something has happened: what is decided by it. Nothing is, once the release has ended.
    pub fn apply(&mut self, at: u64, event: &Event) -> Vec<Decision> {
        if self.verdict.is_some() {
            return Vec::new();
        }
        match event {
            Event::Outcome(outcome) => self.outcome(outcome),
            Event::Compared(comparison) => self.compared(at, comparison),
            Event::Feedback { arm, unit, stage, score } => self.feedback((*arm, *unit), *stage, *score),
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
            None if self.mirroring => 0.0,
            None => self.plan.stages[self.stage].share,
        }
    }

    /// The share of requests that are mirrored to the candidate now.
    pub fn mirrored(&self) -> f64 {
        let on = self.mirroring && self.verdict.is_none();
        self.plan.shadow.filter(|_| on).map_or(0.0, |shadow| shadow.share)
    }

    /// What was compared before the first stage.
    pub fn shadow(&self) -> Option<&Shadow> {
        self.shadow.as_ref()
    }

    /// When this stage began.
    pub fn stage_began(&self) -> u64 {
        self.stage_began
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
        if self.mirroring {
            return Vec::new();
        }
        self.evidence.record(outcome, &self.plan, self.stage);
        self.harm()
    }

    fn harm(&mut self) -> Vec<Decision> {
        let harm = self.evidence.harm(&self.plan);
        harm.map(|why| self.end(Verdict::RolledBack, why)).into_iter().collect()
    }

    fn feedback(&mut self, (arm, unit): (Arm, u64), stage: usize, score: f64) -> Vec<Decision> {
        let share = self.plan.stages.get(stage).map_or(1.0, |s| s.share);
        self.evidence.feedback.record((arm, unit), score, share, &self.plan);
        self.harm()
    }

    fn compared(&mut self, at: u64, comparison: &Comparison) -> Vec<Decision> {
        let Some(shadow) = self.shadow.as_mut().filter(|_| self.mirroring) else { return Vec::new() };
        let (shown, why) = (shadow.record(comparison), shadow.sentence());
        match shown {
            Some(Likeness::Different) => vec![self.end(Verdict::RolledBack, format!("answers are {why}"))],
            Some(Likeness::Alike) if !self.paused => vec![self.next(at, &format!("answers are {why}"))],
            _ => Vec::new(),
        }
    }

    fn tick(&mut self, at: u64) -> Vec<Decision> {
        if self.paused {
            return Vec::new();
        }
        if self.mirroring {
            return self.mirrors(at);
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

    /// Time passes before the first stage.
    fn mirrors(&mut self, at: u64) -> Vec<Decision> {
        let Some(shadow) = &self.shadow else { return Vec::new() };
        let why = format!("answers are {}", shadow.sentence());
        match shadow.shown() {
            // It was shown while somebody had stopped the release.
            Some(Likeness::Alike) => vec![self.next(at, &why)],
            _ if at.saturating_sub(self.began) >= self.plan.give_up_after => {
                vec![self.end(Verdict::Inconclusive, format!("not shown in time: {why}"))]
            }
            _ => Vec::new(),
        }
    }

    fn waits_for(&self, at: u64) -> Vec<String> {
        if let Some(shadow) = self.shadow.as_ref().filter(|_| self.mirroring) {
            return vec![format!("answers that nobody sees: {}", shadow.sentence())];
        }
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
        if std::mem::replace(&mut self.mirroring, false) {
            self.stage_began = at;
            return Decision::Share { stage: 0, share: self.plan.stages[0].share, why: why.into() };
        }
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
