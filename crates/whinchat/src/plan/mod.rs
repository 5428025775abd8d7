//! Execution plans: what a model's graph has become, what it costs, how long it takes, by which kernels; as data that can be written,
//! compared, changed and read back.

mod cost;
mod describe;
mod ops;
mod profile;
mod read;
mod rules;
mod tune;
mod workbench;

use std::path::{Path, PathBuf};

use graph::{Graph, Traffic};
use kernels::{Choice, Cpu, Isa, Program, Tuning};
use serde_json::Value;

pub use cost::{Cost, Shape};
pub use describe::{PlanQuery, machine_json};
pub use profile::ProfileOptions;
pub(crate) use rules::choice;
pub use rules::{KernelRule, KernelSetting};
pub use tune::{Found, Tuned};
pub use workbench::Workbench;

use crate::{Device, Error, GpuLayers, Prepared};

/// How a model's plan differs from the one that is made of it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Fusion rules that are not applied, of [`Cpu::DEVICE`] (default: all are).
    pub disabled_rules: Vec<String>,
    /// A file with a plan that is used in place of the one that is made (default: none).
    pub file: Option<PathBuf>,
    /// Kernels of operators (default: those that tuning found, else each operator's own choice).
    pub kernels: Vec<KernelRule>,
    /// What computes it (default: the CPU).
    pub device: Device,
    /// Layers that GPUs compute (default: of a GPU alone all, else as many as there is memory for).
    pub gpu_layers: Option<GpuLayers>,
    /// The instruction set of all kernels (default: the best of this machine).
    pub isa: Option<Isa>,
}

impl PlanOptions {
    /// With what `--kernel` says.
    #[must_use]
    pub fn with(mut self, settings: &[KernelSetting]) -> PlanOptions {
        for setting in settings {
            match setting {
                KernelSetting::Rule(rule) => self.kernels.push(rule.clone()),
                KernelSetting::Isa(isa) => self.isa = Some(*isa),
            }
        }
        self
    }
}

impl Prepared {
    /// The instruction set of all kernels.
    pub fn isa(&self) -> Isa {
        self.cpu.isa.unwrap_or_else(Isa::detect)
    }

    /// Bytes of weights and values that a decoded token moves.
    pub fn traffic(&self) -> Traffic {
        Traffic::new(&self.graphs.logits, &Cpu::DEVICE.layout)
    }

    /// The kernels that a program of this model uses: those that tuning found, and over them those that were given.
    ///
    /// # Errors
    /// If a kernel was given that no operator has.
    pub(crate) fn kernels_of(&self, graph: &Graph, tuning: &Tuning) -> Result<Choice, Error> {
        let found = self.tuned().map(|tuned| tuned.rules()).unwrap_or_default();
        // What was found for another plan need not fit this one.
        let base = found
            .into_iter()
            .fold(Choice::new(), |base, rule| choice(graph, tuning, &[rule], base.clone()).unwrap_or(base));
        choice(graph, tuning, &self.graphs.kernels, base).map_err(|why| Error::Request(format!("--kernel {why}")))
    }

    /// What a running program's kernels become by some rules.
    ///
    /// # Errors
    /// If a rule fits no operator, or its kernel is none of theirs.
    pub fn choose(&self, tuning: &Tuning, rules: &[KernelRule], base: Choice) -> Result<Choice, Error> {
        choice(&self.graphs.logits, tuning, rules, base).map_err(Error::Request)
    }

    /// A program of the model with limits of its own.
    pub(crate) fn program_on(&self, cpu: &Cpu, limits: graph::Limits) -> Result<(Program, Graph), Error> {
        use graph::Backend as _;
        let (weights, ..) = self.weights(cpu, &|_, _, _| {})?;
        let graph = self.graphs.logits.clone();
        let program = cpu.compile(&graph, weights, limits)?;
        Ok((program, graph))
    }

    /// Whether a plan computes what the model computes, by the reference interpreter.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_plan(&self, plan: &Value) -> Result<(), String> {
        let built = self.model.graph();
        let graph = read::graph(plan, built)?;
        read::check(&graph, [&self.graphs.logits, built], crate::machine::memory_available())
    }
}

/// The graph of the plan in a file, checked against the model's, as it is built and as it is fused.
pub(crate) fn from_file(path: &Path, built: &Graph, fused: &Graph) -> Result<Graph, Error> {
    let refused = |why: String| Error::Request(format!("--plan {}: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|why| refused(why.to_string()))?;
    let plan: Value = serde_json::from_slice(&bytes).map_err(|why| refused(format!("it is no JSON: {why}")))?;
    let graph = read::graph(&plan, built).map_err(refused)?;
    read::check(&graph, [fused, built], crate::machine::memory_available()).map_err(refused)?;
    Ok(graph)
}
