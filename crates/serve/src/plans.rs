//! What knows the execution plans of models. The server passes on what is asked and answered, and knows nothing of graphs and kernels.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::App;

/// What is asked of a model's plan.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanAsk {
    /// The plan, with what it costs for so many rows after so many positions.
    Plan {
        /// Rows of a step.
        rows: usize,
        /// Positions before them.
        context: usize,
    },
    /// Whether a plan from outside computes what the model computes.
    Check(Map<String, Value>),
    /// How long each operator takes.
    Profile(ProfileAsk),
    /// The profiles that are kept.
    Profiles,
    /// Two profiles beside each other, by their names.
    Compare(String, String),
    /// The kernels that operators have, and those that are used.
    Kernels,
    /// Other kernels from now on, as `--kernel` takes them.
    Choose(Vec<String>),
    /// How the trial of kernels stands.
    Trial,
    /// Other kernels on a share of the steps, until it is clear whether they are faster.
    TryOut(TrialAsk),
    /// Bytes of memory that computing takes.
    Memory,
    /// The trial ends, and what was used before stays.
    EndTrial,
}

/// What is measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileAsk {
    /// Rows of each step; none for the usual ones.
    pub rows: Vec<usize>,
    /// Positions before them.
    pub context: Option<usize>,
    /// Steps of which the median is taken.
    pub repeats: Option<usize>,
    /// Kernels, as `--kernel` takes them.
    pub kernels: Vec<String>,
    /// What is measured, in words.
    pub note: Option<String>,
}

/// Kernels that are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialAsk {
    /// As `--kernel` takes them.
    pub kernels: Vec<String>,
    /// The share of the steps.
    pub share: f64,
    /// The chance of taking kernels that are not faster.
    pub alpha: f64,
}

/// Why something asked of a plan is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A field is wrong.
    #[error("{1}")]
    Field(&'static str, String),
    /// Nothing is known of it: the model has no plan, or nothing is kept.
    #[error("{0}")]
    Unknown(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// Knows the plans of models.
pub trait Plans: Send + Sync {
    /// Answers what is asked of the plan of the model of this name. It may take as long as it needs.
    ///
    /// # Errors
    /// If a field is wrong, or it fails.
    fn answer(&self, model: &str, ask: PlanAsk) -> Result<Value, PlanError>;
}

impl App {
    /// Lets plans be asked for over HTTP. Only the first who knows them counts.
    pub fn know_plans(&self, plans: Arc<dyn Plans>) {
        let _ = self.outside.plans.set(plans);
    }
}
