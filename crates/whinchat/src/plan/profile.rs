//! Profiles: how long each operator of a plan takes, by operator and shape, beside what the machine's limits allow.

use std::collections::BTreeMap;
use std::time::Duration;

use graph::Graph;
use kernels::{Cpu, Machine, RowClass};
use serde_json::{Value, json};

use super::cost::{Cost, Shape};
use super::describe::{cost_json, machine_json, operator_shape, shape_json};
use super::workbench::Workbench;
use super::{KernelRule, choice};
use crate::{Error, Prepared};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Rows of a step; see [`Shape::of`].
    pub rows: Vec<usize>,
    /// Positions before them.
    pub context: usize,
    /// Steps of which the median is taken.
    pub repeats: usize,
    /// Kernels, over those that the program would use.
    pub kernels: Vec<KernelRule>,
}

impl Default for ProfileOptions {
    fn default() -> ProfileOptions {
        ProfileOptions { rows: vec![1, 8, 128], context: 128, repeats: 5, kernels: vec![] }
    }
}

/// Operators that are alike.
#[derive(Default)]
struct Alike {
    count: usize,
    took: Duration,
    cost: Cost,
    predicted: f64,
    kernel: String,
}

impl Prepared {
    /// Measures the plan on `cpu`, beside whatever else computes there.
    ///
    /// # Errors
    /// If the memory is short, the files give wrong data, or there is no such kernel.
    pub fn profile(&self, cpu: Cpu, machine: Machine, options: &ProfileOptions) -> Result<Value, Error> {
        let fits = |rows: &usize| (1..=self.limits.max_tokens.max(1)).contains(rows);
        if let Some(rows) = options.rows.iter().find(|rows| !fits(rows)) {
            return Err(Error::Request(format!("rows must be 1 to {}, but one is {rows}", self.limits.max_tokens)));
        }
        if options.context + options.rows.iter().max().unwrap_or(&1) > self.context {
            return Err(Error::Request(format!("context and rows must be {} together at most", self.context)));
        }
        let shapes: Vec<Shape> = options.rows.iter().map(|&rows| Shape::of(rows, options.context)).collect();
        let mut bench = Workbench::new(self, cpu, &shapes)?;
        let base = self.kernels_of(bench.graph(), bench.tuning())?;
        let kernels = choice(bench.graph(), bench.tuning(), &options.kernels, base).map_err(Error::Request)?;
        let (mut rows, mut steps) = (vec![], vec![]);
        for shape in &shapes {
            let times = bench.measure(shape, kernels.clone(), options.repeats)?;
            let class = RowClass::of(shape.tokens()) as usize;
            let names: Vec<String> = kernels.iter().map(|kernel| kernel[class].to_string()).collect();
            let alike = grouped(self, bench.graph(), (shape, &machine), &times, &names);
            let predicted: f64 = alike.values().map(|alike| alike.predicted).sum();
            steps.push(json!({ "shape": shape_json(shape), "predicted_us": predicted, "measured_us": micros(times.iter().sum()) }));
            rows.extend(alike.iter().map(|(key, alike)| row(shape, key, alike)));
        }
        Ok(json!({
            "object": "profile", "model": self.model_name(), "isa": self.isa().name(), "threads": self.threads(),
            "machine": machine_json(machine), "context": options.context, "repeats": options.repeats,
            "kernels": options.kernels.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "steps": steps, "operators": rows,
        }))
    }
}

/// The nodes by operator and shape.
fn grouped(
    prepared: &Prepared,
    graph: &Graph,
    (shape, machine): (&Shape, &Machine),
    times: &[Duration],
    kernels: &[String],
) -> BTreeMap<(String, String), Alike> {
    let mut all: BTreeMap<(String, String), Alike> = BTreeMap::new();
    for ((node, took), kernel) in graph.nodes().iter().zip(times).zip(kernels) {
        let cost = Cost::of(graph, &Cpu::DEVICE.layout, prepared.limits.kv_type, node, shape);
        let alike = all.entry((node.op.name().to_owned(), operator_shape(graph, node))).or_default();
        alike.count += 1;
        alike.took += *took;
        alike.predicted += cost.micros(machine);
        alike.cost = alike.cost.and(cost);
        alike.kernel.clone_from(kernel);
    }
    all
}

fn row(shape: &Shape, (op, of): &(String, String), alike: &Alike) -> Value {
    json!({
        "op": op, "shape": of, "count": alike.count, "rows": shape.tokens(), "sequences": shape.sequences,
        "kernel": alike.kernel, "predicted_us": alike.predicted, "measured_us": micros(alike.took), "cost": cost_json(&alike.cost),
    })
}

pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
