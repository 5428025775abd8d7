//! One experiment at a time, to be awaited: what a variant gains, what it costs, and whether to take it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_channel::oneshot;
use graph::Backend;
use model::{Checkpoint, WeightType};
use tensor::DType;

use super::{Experiment, Materials, Pruned, Spec, SpeedOptions, Target, speed};
use crate::{CLOSE, Error, Pattern, Variant, Weights};

/// Columns that are correlated with each other for error feedback and recovery.
const GRAM: usize = 2048;
/// Bytes of the reference's outputs.
const REFERENCE: u64 = 256_000_000;
/// Tokens that each matrix's sensitivity is measured with.
const PROBE: usize = 128;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trial {
    /// Four bits for all matrices.
    Int4,
    /// Eight bits for all matrices.
    Int8,
    /// A type for each matrix.
    Mixed {
        /// What it must keep to.
        budget: Target,
    },
    /// Weights that are zero, the others in half precision.
    Pruned {
        /// The share of weights that become zero.
        sparsity: f64,
        /// Steps of recovery.
        steps: usize,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How much more often the most likely token is the one that follows than with the reference, as a share of all positions: below 0 where
    /// the variant is worse.
    pub accuracy_delta: f64,
    /// How many times as fast the variant decodes.
    pub latency_speedup: f64,
    /// The part of the reference's bytes that is saved.
    pub size_reduction: f64,
    /// Whether it is hardly told from the reference, and is smaller or faster.
    pub recommended: bool,
    /// The evidence: all that was measured.
    pub variant: Variant,
}

/// A model, texts, and a folder for what is made of them.
#[derive(Clone)]
pub struct Lab<B> {
    backend: B,
    checkpoint: Arc<Checkpoint>,
    folder: PathBuf,
    calibration: Arc<[Vec<u32>]>,
    evaluation: Arc<[Vec<u32>]>,
}

/// Stops what runs when nobody waits for it any more.
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<B: Backend + Clone + Send + 'static> Lab<B> {
    /// A lab for `checkpoint` that works in a folder, with chunks of tokens for calibration and others, of one length, for evaluation: see
    /// [`crate::Split`].
    pub fn new(
        backend: B,
        checkpoint: Arc<Checkpoint>,
        folder: &Path,
        calibration: Vec<Vec<u32>>,
        evaluation: Vec<Vec<u32>>,
    ) -> Lab<B> {
        let (calibration, evaluation) = (calibration.into(), evaluation.into());
        Lab { backend, checkpoint, folder: folder.to_owned(), calibration, evaluation }
    }

    /// Makes a variant, compares it with the model and measures both. It runs on a thread of its own, so that any runtime may await it;
    /// dropping the future stops it.
    ///
    /// # Errors
    /// If the model cannot be used, the target cannot be reached, or the folder not be written.
    pub async fn experiment(&self, trial: Trial) -> Result<Outcome, Error> {
        let (tell, hear) = oneshot::channel();
        let stop: Arc<AtomicBool> = Arc::default();
        let guard = StopWhenDropped(stop.clone());
        let lab = self.clone();
        // Nobody hears it if the future was dropped.
        let work = move || drop(tell.send(lab.run(trial, stop)));
        let started = std::thread::Builder::new().name("lab".into()).spawn(work);
        started.map_err(|e| Error::Request(format!("cannot start a thread: {e}")))?;
        let outcome =
            hear.await.unwrap_or_else(|_| Err(Error::Request("the experiment failed: its thread ended".into())));
        drop(guard);
        outcome
    }

    fn run(&self, trial: Trial, stop: Arc<AtomicBool>) -> Result<Outcome, Error> {
        let spec = trial.spec()?;
        let experiment = Experiment::new(&self.backend, &self.checkpoint, &self.folder, stop, &|_, _, _| {})?;
        let gram = matches!(trial, Trial::Pruned { .. }).then_some(GRAM);
        let calibration = experiment.calibrate(&self.calibration, vec![], gram)?;
        let mut reference = experiment.reference(self.evaluation.to_vec(), REFERENCE)?;
        let probe: Vec<u32> = self.calibration.iter().flatten().copied().take(PROBE).collect();
        let mut sensitivities = match trial {
            Trial::Mixed { .. } => experiment.sensitivities(&calibration, &probe)?,
            _ => vec![],
        };
        if matches!(trial, Trial::Mixed { budget: Target::Speed(_) }) {
            experiment.set_times(&calibration, &mut sensitivities)?;
        }
        let materials =
            Materials { calibration: &calibration, sensitivities: &sensitivities, feedback: false, share_losses: &[] };
        let variant = experiment.variant(&spec, &materials, &mut reference)?;
        let model = Checkpoint::open(&self.folder.join(&variant.path))?.bind(None)?;
        let options = SpeedOptions { prompt: 64, decode: 16, streams: 1, turns: 3 };
        let own = Weights::upload(&self.backend, experiment.model(), &|_, _, _| {})?;
        let weights = Weights::upload(&self.backend, &model, &|_, _, _| {})?;
        let both = [(experiment.model(), &own), (&model, &weights)];
        let speeds = speed(&self.backend, &both, &options, &|_, _, _| {})?;
        let before: u64 = self.checkpoint.tensors().iter().map(|tensor| tensor.bytes as u64).sum();
        let latency_speedup = speeds[1].decode / speeds[0].decode;
        let size_reduction = 1.0 - variant.bytes as f64 / before.max(1) as f64;
        Ok(Outcome {
            accuracy_delta: variant.quality.accuracy_delta.value,
            latency_speedup,
            size_reduction,
            recommended: variant.kl_mean <= CLOSE && (size_reduction > 0.0 || latency_speedup > 1.0),
            variant,
        })
    }
}

impl Trial {
    fn spec(self) -> Result<Spec, Error> {
        let plain = |dtype| Ok(Spec::Type { weights: WeightType::One(dtype), informed: true });
        match self {
            Trial::Int4 => plain(DType::Q4_K),
            Trial::Int8 => plain(DType::Q8_0),
            Trial::Mixed { budget } => Ok(Spec::Mixed(budget)),
            Trial::Pruned { sparsity, steps } => {
                let pattern = Pattern::parse("free", sparsity).map_err(Error::Request)?;
                let weights = WeightType::One(DType::F16);
                Ok(Spec::Pruned(Pruned { pattern, by_layer: false, steps, weights }))
            }
        }
    }
}
