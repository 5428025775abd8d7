//! Calibration: a model is run on texts, and the inputs of its matrices are added up.

mod gram;
mod kept;
mod sums;
mod taps;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use graph::{Backend, Graph};
use model::Model;

pub use gram::Gram;
pub use kept::Kept;
use sums::Sums;
use taps::Tap;
pub(crate) use taps::Tapped;

use crate::runner::{Runner, Weights, fused};
use crate::{Entry, Error, Progress, Statistics};

/// Numbers of a step's output at most: it decides how many rows are computed at once.
const OUTPUT: usize = 64 << 20;

/// How a model is calibrated.
#[derive(Clone, Debug)]
pub struct CalibrateOptions {
    /// Columns that are correlated with each other: Gram matrices are kept for blocks of so many. `None`: none are kept.
    pub gram: Option<usize>,
    /// Where the texts came from.
    pub datasets: Vec<String>,
    /// Where what was added up is kept, so that the same calibration goes on from there.
    pub kept: Option<Kept>,
    /// Set from elsewhere to stop after the chunk that is computed; what was added up so far is given.
    pub stop: Arc<AtomicBool>,
}

/// What calibration found out.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// Sums of squares, by weight.
    pub statistics: Statistics,
    /// Gram matrices, by weight; weights with the same input share one.
    pub grams: BTreeMap<String, Arc<Gram>>,
}

impl Calibration {
    /// What a file of statistics has.
    pub fn of(statistics: Statistics) -> Calibration {
        Calibration { statistics, grams: BTreeMap::new() }
    }

    /// The Gram matrix of a tensor's inputs, by the rules of [`Statistics::of`].
    pub fn gram(&self, tensor: &str) -> Option<&Arc<Gram>> {
        crate::statistics::of(&self.grams, tensor)
    }
}

/// Runs `model` over `chunks` of tokens, each a sequence of its own, and adds up the inputs of every matrix.
///
/// # Errors
/// If there is no text, a token is not the model's, the memory is short, or the model's graph cannot be observed.
pub fn calibrate<B: Backend>(
    backend: &B,
    model: &Model,
    chunks: &[Vec<u32>],
    options: &CalibrateOptions,
    progress: Progress,
) -> Result<Calibration, Error> {
    let mut work = Work::new(model.graph(), chunks, options)?;
    if work.done < chunks.len() {
        let weights = Weights::upload(backend, model, progress)?;
        work.go_on(backend, &weights, progress)?;
    }
    work.finish()
}

/// As [`calibrate`], with a graph as it was built, and its weights.
///
/// # Errors
/// As [`calibrate`].
pub fn calibrate_graph<B: Backend>(
    backend: &B,
    (graph, weights): (&Graph, &Weights<B>),
    chunks: &[Vec<u32>],
    options: &CalibrateOptions,
    progress: Progress,
) -> Result<Calibration, Error> {
    let mut work = Work::new(graph, chunks, options)?;
    work.go_on(backend, weights, progress)?;
    work.finish()
}

/// A calibration that is under way.
struct Work<'a> {
    tapped: Tapped,
    collectors: Vec<Collector>,
    /// Chunks that were added up.
    done: usize,
    chunks: &'a [Vec<u32>],
    options: &'a CalibrateOptions,
}

impl<'a> Work<'a> {
    /// What was kept of it, else nothing yet.
    fn new(graph: &Graph, chunks: &'a [Vec<u32>], options: &'a CalibrateOptions) -> Result<Work<'a>, Error> {
        if chunks.iter().all(Vec::is_empty) {
            return Err(Error::Request("there is no calibration text; give more with --data".into()));
        }
        let tapped = Tapped::new(graph)?;
        let mut collectors: Vec<Collector> = tapped.taps.iter().map(|tap| Collector::new(tap, options.gram)).collect();
        let done = options.kept.as_ref().map_or(Ok(0), |kept| kept.read(&mut collectors))?.min(chunks.len());
        Ok(Work { tapped, collectors, done, chunks, options })
    }

    /// Computes the chunks that are left.
    fn go_on<B: Backend>(&mut self, backend: &B, weights: &Weights<B>, progress: Progress) -> Result<(), Error> {
        // A text that is seen whole is computed at once.
        let few = (OUTPUT / self.tapped.graph.output_width()).clamp(1, 64);
        let rows = if self.tapped.graph.causal() { few } else { self.longest() };
        // Every row is selected: to select before anything is computed would only copy more.
        let graph = fused(backend, &self.tapped.graph, &["select-early"])?;
        let mut runner = Runner::new(backend, &graph, weights, self.longest(), rows)?;
        let width = runner.width();
        for chunk in &self.chunks[self.done..] {
            if self.options.stop.load(Ordering::Relaxed) {
                break;
            }
            runner.run(chunk, 0, |_, rows| {
                add(&mut self.collectors, &self.tapped.taps, rows, width);
                Ok(())
            })?;
            self.done += 1;
            progress("calibrating", self.done as u64, self.chunks.len() as u64);
            if self.done.is_multiple_of(kept::EVERY) && self.done < self.chunks.len() {
                self.keep()?;
            }
        }
        self.keep()
    }

    fn keep(&self) -> Result<(), Error> {
        self.options.kept.as_ref().map_or(Ok(()), |kept| kept.write(&self.collectors, self.done))
    }

    fn longest(&self) -> usize {
        self.chunks.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn finish(self) -> Result<Calibration, Error> {
        if self.done == 0 {
            return Err(Error::Stopped);
        }
        let mut calibration = Calibration::default();
        calibration.statistics.datasets.clone_from(&self.options.datasets);
        calibration.statistics.chunks = self.done as u32;
        calibration.statistics.chunk_size = self.longest() as u32;
        let each = self.collectors.into_iter().zip(&self.tapped.taps);
        each.for_each(|(collector, tap)| collector.tell(tap, &mut calibration));
        Ok(calibration)
    }
}

/// Adds rows of the output to every collector, on every core.
fn add(collectors: &mut [Collector], taps: &[Tap], rows: &[f32], width: usize) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = collectors.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for (part, taps) in collectors.chunks_mut(each).zip(taps.chunks(each)) {
            let add = move || part.iter_mut().zip(taps).for_each(|(collector, tap)| collector.add(tap, rows, width));
            scope.spawn(add);
        }
    });
}

/// What is added up of one tap.
struct Collector {
    sums: Sums,
    gram: Option<Gram>,
    input: Vec<f32>,
}

impl Collector {
    fn new(tap: &Tap, gram: Option<usize>) -> Collector {
        let gram = gram.filter(|_| tap.matrices() == 1).map(|block| Gram::new(tap.cols(), block));
        Collector { sums: Sums::new(tap.matrices(), tap.cols()), gram, input: Vec::new() }
    }

    fn add(&mut self, tap: &Tap, rows: &[f32], width: usize) {
        for row in rows.chunks_exact(width) {
            tap.inputs(row, |matrix, input| self.sums.add(matrix, input));
        }
        if let Some(gram) = &mut self.gram {
            self.input.clear();
            rows.chunks_exact(width).for_each(|row| self.input.extend_from_slice(&row[tap.columns.clone()]));
            gram.add(&self.input);
        }
    }

    /// Bytes of all numbers.
    fn bytes(&self) -> u64 {
        self.sums.bytes() + self.gram.as_ref().map_or(0, Gram::bytes)
    }

    fn write(&self, file: &mut impl Write) -> std::io::Result<()> {
        self.sums.write(file)?;
        self.gram.as_ref().map_or(Ok(()), |gram| gram.write(file))
    }

    fn read(&mut self, file: &mut impl Read) -> std::io::Result<()> {
        self.sums.read(file)?;
        self.gram.as_mut().map_or(Ok(()), |gram| gram.read(file))
    }

    fn tell(self, tap: &Tap, calibration: &mut Calibration) {
        let (sums, counts) = self.sums.finish();
        let gram = self.gram.map(Arc::new);
        for name in &tap.weights {
            let entry = Entry { sums: sums.clone(), counts: counts.clone() };
            // The head that is the embedding too may be told twice: they are the same weight.
            calibration.statistics.entries.insert(name.clone(), entry);
            calibration.grams.extend(gram.clone().map(|gram| (name.clone(), gram)));
        }
    }
}
