//! Which kernel is best for each operator and shape on this machine, found by timing, and where the finding is kept: beside the
//! packed weights.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use graph::Graph;
use kernels::{Choice, Cpu, Kernel, RowClass, Tuning};
use serde::{Deserialize, Serialize};

use super::cost::Shape;
use super::describe::operator_shape;
use super::profile::micros;
use super::workbench::Workbench;
use super::{KernelRule, KernelSetting, choice};
use crate::{Error, Prepared, machine};

/// The version of the file's form.
const VERSION: u32 = 1;

/// A kernel is taken if it takes at most this share of the time that `auto` takes: less is noise.
const BETTER: f64 = 0.97;

/// Rows that stand for each class.
const ROWS: [usize; 4] = [1, 4, 32, 128];

/// What tuning found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    version: u32,
    /// The instruction set.
    pub isa: String,
    /// Threads that compute.
    pub threads: usize,
    /// The processor.
    pub processor: String,
    /// What was found, as `--kernel` takes it.
    pub kernels: Vec<String>,
    /// What was measured of each of these.
    pub found: Vec<Found>,
    /// Microseconds of a step by class of rows: as it was, and as it is.
    pub steps: Vec<(String, f64, f64)>,
}

/// A kernel that is better than `auto`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The operators.
    pub op: String,
    /// Their shape.
    pub shape: String,
    /// For so many rows.
    pub rows: String,
    /// The kernel.
    pub kernel: String,
    /// Microseconds of all of them in a step with it.
    pub micros: f64,
    /// The same with `auto`.
    pub auto_micros: f64,
}

/// Operators that are alike, by their name and shape.
type Key = (String, String);

impl Prepared {
    /// Times the kernels of every operator, with so many steps each and so many positions before them, and takes the best for each shape.
    /// `told` hears what is measured.
    ///
    /// # Errors
    /// If the memory is short or the files give wrong data.
    pub fn tune(&self, cpu: Cpu, context: usize, repeats: usize, told: &dyn Fn(&str)) -> Result<Tuned, Error> {
        let most = self.limits.max_tokens.min(self.context.saturating_sub(context)).max(1);
        let shapes = ROWS.map(|rows| Shape::of(rows.min(most), context));
        let mut bench = Workbench::new(self, cpu, &shapes)?;
        let mut tuned = Tuned {
            version: VERSION,
            isa: self.isa().name().to_owned(),
            threads: self.threads(),
            processor: machine::processor(),
            kernels: vec![],
            found: vec![],
            steps: vec![],
        };
        for (class, shape) in
            RowClass::ALL.into_iter().zip(shapes).filter(|(class, shape)| RowClass::of(shape.tokens()) == *class)
        {
            tune_class(&mut bench, (class, &shape), repeats, told, &mut tuned)?;
        }
        Ok(tuned)
    }

    /// Where what tuning finds is kept: the first place that can be written; none where no packed weights are kept.
    pub fn tuned_paths(&self) -> Vec<PathBuf> {
        crate::weights::tuned_paths(&self.options.cache.weights, &self.checkpoint, self.isa())
    }

    /// Keeps what was found, for every later start with the same instruction set and as many threads.
    ///
    /// # Errors
    /// If no place can be written.
    pub fn keep_tuned(&self, tuned: &Tuned) -> Result<PathBuf, Error> {
        let text = serde_json::to_vec_pretty(tuned).map_err(io::Error::other);
        let mut refused = io::Error::other("the model has no file, or --weights-cache is off");
        for path in self.tuned_paths() {
            match text.as_ref().map_err(|why| io::Error::other(why.to_string())).and_then(|text| write(&path, text)) {
                Ok(()) => return Ok(path),
                Err(why) => refused = why,
            }
        }
        Err(Error::Io { what: "keeping what tuning found".into(), source: refused })
    }

    /// What an earlier tuning found for this machine.
    pub fn tuned(&self) -> Option<Tuned> {
        let fits = |tuned: &Tuned| {
            let same = (&*tuned.isa, tuned.threads) == (self.isa().name(), self.threads());
            same && tuned.version == VERSION && tuned.processor == machine::processor()
        };
        let read = |path: &PathBuf| serde_json::from_slice::<Tuned>(&std::fs::read(path).ok()?).ok();
        self.tuned_paths().iter().filter_map(read).find(fits)
    }
}

impl Tuned {
    /// What was found, as rules.
    pub fn rules(&self) -> Vec<KernelRule> {
        let rule = |text: &String| match text.parse() {
            Ok(KernelSetting::Rule(rule)) => Some(rule),
            Ok(KernelSetting::Isa(_)) | Err(_) => None,
        };
        self.kernels.iter().filter_map(rule).collect()
    }
}

/// By way of another file, so that nobody reads half of it.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

fn tune_class(
    bench: &mut Workbench,
    (class, shape): (RowClass, &Shape),
    repeats: usize,
    told: &dyn Fn(&str),
    tuned: &mut Tuned,
) -> Result<(), Error> {
    let auto = everywhere(bench.tuning(), Kernel::default());
    let mut best: BTreeMap<Key, (Kernel, f64)> = BTreeMap::new();
    let times = bench.measure(shape, auto.clone(), repeats)?;
    let before = sums(bench.graph(), &times);
    for kernel in names(bench.tuning()) {
        told(&format!("{} rows: {kernel}", class.name()));
        try_one(bench, (shape, repeats), |_| Some(kernel), &mut best)?;
    }
    for tiles in Kernel::tiles() {
        told(&format!("{} rows: {tiles} tiles a task", class.name()));
        let so_far = best.clone();
        let with = |key: &Key| Some(so_far.get(key)?.0.with_tiles(Some(tiles))).filter(|_| key.0 != "attention");
        try_one(bench, (shape, repeats), with, &mut best)?;
    }
    let better = |(key, (kernel, micros)): (Key, (Kernel, f64))| {
        let auto_micros = *before.get(&key)?;
        let (op, of) = key;
        let found = Found { op, shape: of, rows: class.name().into(), kernel: kernel.to_string(), micros, auto_micros };
        (micros <= BETTER * auto_micros && kernel != Kernel::default()).then_some(found)
    };
    let found: Vec<Found> = best.into_iter().filter_map(better).collect();
    let rule = |found: &Found| format!("{}@{}:{}={}", found.op, found.rows, found.shape, found.kernel);
    let texts: Vec<String> = found.iter().map(rule).collect();
    let rules = Tuned { kernels: texts.clone(), ..tuned.clone() }.rules();
    let together = choice(bench.graph(), bench.tuning(), &rules, auto.clone()).map_err(Error::Request)?;
    let [was, is] = compared(bench, (shape, repeats), [&auto, &together])?;
    tuned.steps.push((class.name().to_owned(), was, if is < was { is } else { was }));
    if is < was {
        tuned.kernels.extend(texts);
        tuned.found.extend(found);
    }
    Ok(())
}

/// The names of all ways that any operator has, `auto` among them.
fn names(tuning: &Tuning) -> Vec<Kernel> {
    let mut names: Vec<Kernel> = vec![];
    for way in tuning.ways().iter().flatten() {
        if !names.contains(way) {
            names.push(*way);
        }
    }
    names
}

/// Measures each operator with the kernel that `with` gives for it, and keeps what is better than the best so far.
fn try_one(
    bench: &mut Workbench,
    (shape, repeats): (&Shape, usize),
    with: impl Fn(&Key) -> Option<Kernel>,
    best: &mut BTreeMap<Key, (Kernel, f64)>,
) -> Result<(), Error> {
    let kernel = |at: usize, graph: &Graph| {
        let ways = &bench.tuning().ways()[at];
        with(&key(graph, at)).filter(|kernel| ways.iter().any(|way| way.way() == kernel.way()))
    };
    let given: Vec<Option<Kernel>> = (0..bench.graph().nodes().len()).map(|at| kernel(at, bench.graph())).collect();
    let choice = given.iter().map(|kernel| [kernel.unwrap_or_default(); RowClass::ALL.len()]).collect();
    let times = bench.measure(shape, choice, repeats)?;
    let sums = sums(bench.graph(), &times);
    for (at, kernel) in given.iter().enumerate() {
        let (Some(kernel), key) = (kernel, key(bench.graph(), at)) else { continue };
        let Some(&now) = sums.get(&key) else { continue };
        let known = best.entry(key).or_insert((*kernel, now));
        if now < known.1 {
            *known = (*kernel, now);
        }
    }
    Ok(())
}

/// The time of a step with each of two choices, in turn: the least of a few.
fn compared(
    bench: &mut Workbench,
    (shape, repeats): (&Shape, usize),
    choices: [&Choice; 2],
) -> Result<[f64; 2], Error> {
    let mut least = [f64::INFINITY; 2];
    for _ in 0..3 {
        for (least, choice) in least.iter_mut().zip(choices) {
            let times = bench.measure(shape, choice.clone(), repeats)?;
            *least = least.min(micros(times.iter().sum()));
        }
    }
    Ok(least)
}

fn everywhere(tuning: &Tuning, kernel: Kernel) -> Choice {
    vec![[kernel; RowClass::ALL.len()]; tuning.ways().len()]
}

fn key(graph: &Graph, at: usize) -> Key {
    let node = &graph.nodes()[at];
    (node.op.name().to_owned(), operator_shape(graph, node))
}

/// Microseconds of the operators that are alike.
fn sums(graph: &Graph, times: &[Duration]) -> BTreeMap<Key, f64> {
    let mut sums = BTreeMap::new();
    for (at, took) in times.iter().enumerate() {
        *sums.entry(key(graph, at)).or_insert(0.0) += micros(*took);
    }
    sums
}
