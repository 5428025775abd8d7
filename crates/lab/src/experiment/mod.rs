//! An experiment: a model, a folder, and what is made and measured there. What was finished is found again by what it was made from.

mod cache;
mod spec;
mod speed;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use graph::Backend;
use model::{Checkpoint, Model};
use tensor::DType;

use cache::Cache;
pub(crate) use cache::of_model;
pub use spec::{CANDIDATES, Pruned, Spec, Target};
pub use speed::{SpeedOptions, speed};
pub use trial::{Lab, Outcome, Trial};

use crate::mixture::Sensitivity;
use crate::report::{Baseline, FrontPoint, Matrix, Measured};
use crate::runner::check_logits;
use crate::{
    CalibrateOptions, Calibration, Converted, Error, Kept, Pattern, Progress, Quantize, QuantizeOptions, Quantized,
    Recovered, Reference, ReferenceOptions, Report, ShareLosses, Summary, Types, Variant, calibrate, estimate,
    evaluate, front, measure, set_times, time_types,
};

/// A model that is experimented with.
pub struct Experiment<'a, B: Backend> {
    backend: &'a B,
    checkpoint: Arc<Checkpoint>,
    model: Model,
    key: [u8; 32],
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    progress: Progress<'a>,
}

/// What a variant is made and measured with.
pub struct Materials<'m> {
    /// What calibration found out.
    pub calibration: &'m Calibration,
    /// The sensitivities of all matrices, where a variant is a mixture.
    pub sensitivities: &'m [Sensitivity],
    /// Whether types of few bits are made with error feedback.
    pub feedback: bool,
    /// What matrices lose at each share of zeros, where a variant has a share for each.
    pub share_losses: &'m [ShareLosses],
}

impl<'a, B: Backend> Experiment<'a, B> {
    /// An experiment with `checkpoint` in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the model cannot be used or gives no logits, or the folder cannot be made.
    pub fn new(
        backend: &'a B,
        checkpoint: &Arc<Checkpoint>,
        folder: &Path,
        stop: Arc<AtomicBool>,
        progress: Progress<'a>,
    ) -> Result<Experiment<'a, B>, Error> {
        let model = checkpoint.bind(None)?;
        check_logits(&model)?;
        for folder in [folder, &folder.join("cache"), &folder.join("variants")] {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let key = of_model(checkpoint);
        Ok(Experiment {
            backend,
            checkpoint: checkpoint.clone(),
            model,
            key,
            folder: folder.to_owned(),
            stop,
            progress,
        })
    }

    fn cache(&self, what: &str) -> Cache {
        Cache::new(&self.folder.join("cache"), &self.key).with(what)
    }

    /// What calibration with these chunks finds out. What was added up is kept in the folder, also if it is stopped.
    ///
    /// # Errors
    /// As [`calibrate`], and if somebody stops it.
    pub fn calibrate(
        &self,
        chunks: &[Vec<u32>],
        datasets: Vec<String>,
        gram: Option<usize>,
    ) -> Result<Calibration, Error> {
        let path = self.cache("calibration").with_tokens(chunks).with(&format!("{gram:?}")).file("sums");
        let kept = Some(Kept::of(path, &self.key, chunks, gram));
        let options = CalibrateOptions { gram, datasets, kept, stop: self.stop.clone() };
        let calibration = calibrate(self.backend, &self.model, chunks, &options, self.progress)?;
        let whole = calibration.statistics.chunks as usize == chunks.len();
        if whole { Ok(calibration) } else { Err(Error::Stopped) }
    }

    /// The reference's outputs on these chunks, which take up to so many bytes.
    ///
    /// # Errors
    /// As [`Reference::open`].
    pub fn reference(&self, chunks: Vec<Vec<u32>>, bytes: u64) -> Result<Reference, Error> {
        let path = self.cache("reference").with_tokens(&chunks).with(&bytes.to_string()).file("ref");
        let options = ReferenceOptions { path, key: self.key, bytes };
        Reference::open(self.backend, &self.model, chunks, &options, (&self.stop, self.progress))
    }

    /// The sensitivity of every matrix; measured with `tokens` at the model's output, or only estimated if there are none.
    ///
    /// # Errors
    /// As [`estimate`] and [`measure`].
    pub fn sensitivities(&self, calibration: &Calibration, tokens: &[u32]) -> Result<Vec<Sensitivity>, Error> {
        let statistics = cache::of_statistics(&calibration.statistics);
        let cache = self.cache("sensitivity").with(&statistics).with_tokens(&[tokens.to_vec()]);
        if let Some(found) = cache.read::<Vec<Matrix>>().and_then(|all| all.iter().map(sensitivity).collect()) {
            return Ok(found);
        }
        let quantize = Quantize::new(&self.checkpoint, calibration)?;
        let mut all = estimate(&quantize, CANDIDATES, &self.stop, self.progress)?;
        if !tokens.is_empty() {
            measure((self.backend, &self.model), &quantize, &mut all, tokens, (&self.stop, self.progress))?;
        }
        cache.write(&all.iter().map(matrix).collect::<Vec<_>>())?;
        Ok(all)
    }

    /// What every matrix loses at each share of zeros, measured with `tokens` at the model's output.
    ///
    /// # Errors
    /// As [`crate::share_losses()`].
    pub fn share_losses(&self, calibration: &Calibration, tokens: &[u32]) -> Result<Vec<ShareLosses>, Error> {
        let statistics = cache::of_statistics(&calibration.statistics);
        let cache = self.cache("shares").with(&statistics).with_tokens(&[tokens.to_vec()]);
        if let Some(found) = cache.read() {
            return Ok(found);
        }
        let quantize = Quantize::new(&self.checkpoint, calibration)?;
        let (of, told) = ((self.backend, &self.model), (&*self.stop, self.progress));
        let all = crate::share_losses(of, &quantize, Pattern::Free(0.5), tokens, told)?;
        cache.write(&all)?;
        Ok(all)
    }

    /// Sets how long each choice of these takes, by what each type's speed is measured to be on this machine, or was before.
    ///
    /// # Errors
    /// As [`time_types`].
    pub fn set_times(&self, calibration: &Calibration, sensitivities: &mut [Sensitivity]) -> Result<(), Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cache = self.cache("times").with(&format!("{CANDIDATES:?} {cores}"));
        let named = |(name, ratio): &(String, f64)| Some((dtype_named(name)?, *ratio));
        let known = cache.read::<Vec<(String, f64)>>().and_then(|times| times.iter().map(named).collect());
        let times: Vec<(DType, f64)> = match known {
            Some(times) => times,
            None => {
                let times = time_types((self.backend, &self.model), CANDIDATES, (&self.stop, self.progress))?;
                cache.write(&times.iter().map(|(dtype, ratio)| (dtype.name(), ratio)).collect::<Vec<_>>())?;
                times
            }
        };
        set_times(&self.model, &Quantize::new(&self.checkpoint, calibration)?, sensitivities, &times);
        Ok(())
    }

    /// The types of the file's matrices for a variant.
    ///
    /// # Errors
    /// If a mixture's target cannot be reached.
    pub fn types(&self, spec: &Spec, materials: &Materials<'_>) -> Result<Types, Error> {
        match spec {
            Spec::Type { weights, .. } => Ok(Types::Plain(*weights)),
            Spec::Pruned(pruned) => Ok(Types::Plain(pruned.weights)),
            Spec::Mixed(target) => {
                let quantize = Quantize::new(&self.checkpoint, materials.calibration)?;
                Ok(Types::Each(target.types(&quantize, materials.sensitivities)?))
            }
            Spec::File(path) => Err(Error::file(path, "has its types already")),
        }
    }

    /// A file that is there already.
    fn found(&self, path: &Path) -> Result<(PathBuf, Quantized), Error> {
        let path = std::path::absolute(path).map_err(Error::io(path))?;
        let tensors = Quantize::new(&Checkpoint::open(&path)?, &Calibration::default())?.tensors();
        let file = Converted::of(&self.checkpoint, tensors, &path);
        Ok((path, Quantized { file, notes: vec![], recovered: vec![] }))
    }

    /// Makes a variant's file in the folder, if it is not there.
    ///
    /// # Errors
    /// As [`Quantize::write`].
    pub fn make(&self, spec: &Spec, materials: &Materials<'_>) -> Result<(PathBuf, Quantized), Error> {
        if let Spec::File(path) = spec {
            return self.found(path);
        }
        let none = Calibration::default();
        let informed = !matches!(spec, Spec::Type { informed: false, .. });
        let calibration = if informed { materials.calibration } else { &none };
        let types = self.types(spec, materials)?;
        let (name, prune) = (spec.name(), spec.prune(materials));
        let out = self
            .folder
            .join("variants")
            .join(format!("{}.gguf", name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_', "-")));
        let statistics = cache::of_statistics(&calibration.statistics);
        let cache = self
            .cache("made")
            .with(&format!("{types:?}"))
            .with(&statistics)
            .with(&format!("{} {prune:?}", materials.feedback));
        let mut quantize = Quantize::new(&self.checkpoint, calibration)?;
        let made = cache.read::<(u64, Vec<String>, Vec<Recovered>)>().filter(|(bytes, ..)| {
            std::fs::metadata(&out).is_ok_and(|file| file.len() == *bytes) && cache.is_named(&out)
        });
        if let Some((_, notes, recovered)) = made {
            let plan = quantize.plan(&types, crate::Unvisited::Safe);
            let file = Converted::of(&self.checkpoint, plan, &out);
            return Ok((out, Quantized { file, notes, recovered }));
        }
        let mut options = QuantizeOptions::new(&out, types);
        (options.force, options.feedback, options.stop) = (true, materials.feedback, self.stop.clone());
        options.prune = prune;
        options.name = Some(format!("{} {name}", self.checkpoint.name()));
        let quantized = quantize.write(&options, self.progress)?;
        cache.write(&(quantized.file.bytes, &quantized.notes, &quantized.recovered))?;
        cache.name(&out)?;
        Ok((out, quantized))
    }

    /// Makes a variant and compares it with the reference.
    ///
    /// # Errors
    /// If it cannot be made or run, or somebody stops it.
    pub fn variant(&self, spec: &Spec, materials: &Materials<'_>, reference: &mut Reference) -> Result<Variant, Error> {
        let (path, Quantized { file, notes, recovered }) = self.make(spec, materials)?;
        let checkpoint = Checkpoint::open(&path)?;
        let key = of_model(&checkpoint);
        let cache = Cache::new(&self.folder.join("cache"), &key).with("quality").with_tokens(reference.chunks());
        let cache = cache.with(&format!("{:?} {}", self.key, reference.top()));
        let quality = match cache.read::<Summary>() {
            Some(known) => known,
            None => {
                let model = checkpoint.bind(None)?;
                let samples = evaluate(self.backend, &model, reference, &self.stop, self.progress)?;
                let summary = Summary::of(&samples);
                cache.write(&summary)?;
                summary
            }
        };
        let relative = path.strip_prefix(&self.folder).unwrap_or(&path).to_string_lossy().into_owned();
        let name = match spec {
            Spec::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            made => made.name(),
        };
        Ok(Variant {
            name,
            path: relative,
            kind: spec.name(),
            bytes: file.bytes,
            bits_per_weight: file.bits_per_weight(),
            kl_mean: quality.kl.value,
            top1: quality.top1.value,
            perplexity: quality.perplexity.value,
            score: None,
            quality,
            measured: Measured { notes, recovered, ..Measured::default() },
        })
    }

    /// A report of these variants, without what else is measured.
    pub fn report(&self, variants: Vec<Variant>, materials: &Materials<'_>) -> Report {
        let tensors = self.checkpoint.tensors();
        let weights: usize = tensors.iter().map(|tensor| tensor.dims.iter().product::<usize>()).sum();
        let bytes: u64 = tensors.iter().map(|tensor| tensor.bytes as u64).sum();
        let quality = variants.first().map(|variant| &variant.quality);
        let statistics = &materials.calibration.statistics;
        let mut report = Report {
            version: 1,
            model: self.checkpoint.name(),
            reference: Baseline {
                bytes,
                bits_per_weight: bytes as f64 * 8.0 / weights.max(1) as f64,
                tokens: quality.map_or(0, |quality| quality.tokens),
                perplexity: quality.map_or(0.0, |quality| quality.reference_perplexity.value),
                score: None,
                speed: None,
                memory: None,
            },
            calibration: statistics.datasets.clone(),
            calibration_tokens: u64::from(statistics.chunks) * u64::from(statistics.chunk_size),
            variants,
            sensitivity: materials.sensitivities.iter().map(matrix).collect(),
            front: front(materials.sensitivities)
                .iter()
                .map(|point| FrontPoint { bytes: point.bytes, loss: point.loss })
                .collect(),
            recommended: None,
        };
        report.sort();
        report.recommended = crate::recommend(&report, &[]);
        report
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

fn matrix(sensitivity: &Sensitivity) -> Matrix {
    let choice = |choice: &crate::Choice| (choice.dtype.name().to_owned(), choice.bytes, choice.loss);
    let choices = sensitivity.choices.iter().map(choice).collect();
    Matrix { name: sensitivity.name.clone(), measured: sensitivity.measured, choices }
}

/// The reverse of [`matrix`]; `None` if a type is not known.
fn dtype_named(name: &str) -> Option<DType> {
    DType::all().find(|dtype| dtype.name() == name)
}

fn sensitivity(matrix: &Matrix) -> Option<Sensitivity> {
    let choice = |(name, bytes, loss): &(String, u64, f64)| {
        let dtype = dtype_named(name)?;
        Some(crate::Choice { dtype, bytes: *bytes, error: *loss, loss: *loss, time: 0.0 })
    };
    let choices = matrix.choices.iter().map(choice).collect::<Option<_>>()?;
    Some(Sensitivity { name: matrix.name.clone(), measured: matrix.measured, choices })
}
