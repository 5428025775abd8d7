//! A whole experiment with a small trained model: variants, their quality, the report, and going on after a stop.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use graph::Interpreter;
use lab::{Calibration, Error, Experiment, Lab, Limit, Materials, Quantize, Report, Sensitivity, Spec, Target, Trial};
use lab::{Variant, estimate, recommend, set_times, time_types};
use model::Checkpoint;
use tensor::DType;

/// A model of 260,000 weights in F32, which is not in the repository.
fn stories() -> Option<Arc<Checkpoint>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets/models/stories260K.gguf");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(Checkpoint::open(&path).expect("it can be opened"))
}

fn chunks(first: u32, count: u32) -> Vec<Vec<u32>> {
    (first..first + count)
        .map(|chunk| (0..24).map(|i| 3 + (chunk * 977 + i * i * 31 + i * 7) % 500).collect())
        .collect()
}

struct Run {
    folder: PathBuf,
    /// The stages that were at work.
    stages: RefCell<Vec<String>>,
    stop: Arc<AtomicBool>,
    stop_in: Option<&'static str>,
    gram: Option<usize>,
}

impl Run {
    fn new(folder: &Path, stop_in: Option<&'static str>) -> Run {
        Run { folder: folder.into(), stages: RefCell::default(), stop: Arc::default(), stop_in, gram: None }
    }

    fn heard(&self, stage: &str) {
        self.stages.borrow_mut().push(stage.into());
        if self.stop_in == Some(stage) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn count(&self, stage: &str) -> usize {
        self.stages.borrow().iter().filter(|heard| *heard == stage).count()
    }

    fn run(&self, checkpoint: &Arc<Checkpoint>, specs: &[&str]) -> Result<Report, Error> {
        let progress = |stage: &str, _, _| self.heard(stage);
        let experiment = Experiment::new(&Interpreter, checkpoint, &self.folder, self.stop.clone(), &progress)?;
        let calibration = experiment.calibrate(&chunks(0, 6), vec!["made up".into()], self.gram)?;
        let mut reference = experiment.reference(chunks(100, 4), 10_000_000)?;
        let sensitivities = experiment.sensitivities(&calibration, &chunks(0, 1).concat())?;
        let share_losses = experiment.share_losses(&calibration, &chunks(0, 1).concat())?;
        let materials = Materials {
            calibration: &calibration,
            sensitivities: &sensitivities,
            feedback: false,
            share_losses: &share_losses,
        };
        let variant = |spec: &&str| {
            let spec = Spec::parse(spec).expect("a variant");
            experiment.variant(&spec, &materials, &mut reference)
        };
        let variants = specs.iter().map(variant).collect::<Result<Vec<Variant>, _>>()?;
        let report = experiment.report(variants, &materials);
        report.write(&self.folder)?;
        Ok(report)
    }
}

const SPECS: [&str; 5] = ["F16", "Q8_0", "Q4_0", "plain:Q4_0", "mixed:7"];

#[test]
fn variants_are_made_measured_and_reported() {
    let Some(checkpoint) = stories() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::new(folder.path(), None);
    let report = run.run(&checkpoint, &SPECS).expect("it runs");
    let of = |name: &str| report.variants.iter().find(|v| v.name == name).expect("it was asked for").clone();
    assert!(of("F16").kl_mean < 1e-3 && of("F16").kl_mean < of("Q8_0").kl_mean, "{:?}", of("F16").quality);
    assert!(of("Q8_0").kl_mean < of("mixed:7").kl_mean && of("mixed:7").kl_mean < of("Q4_0").kl_mean);
    assert!(of("mixed:7").bits_per_weight <= 7.0, "{}", of("mixed:7").bits_per_weight);
    assert_eq!(of("Q4_0").quality.tokens, 4 * 11);
    let q8 = &of("Q8_0").quality;
    assert!(q8.kl.low <= q8.kl.value && q8.kl.value <= q8.kl.high && q8.top1.value > 0.8, "{q8:?}");
    // Matrices of 172 columns are no whole blocks.
    assert!(report.sensitivity.iter().any(|m| m.name == "blk.0.ffn_down.weight" && m.choices.len() == 2));
    assert!(report.sensitivity.iter().any(|m| m.name == "blk.0.attn_q.weight" && m.measured && m.choices.len() > 5));
    assert!(report.front.windows(2).all(|pair| pair[0].bytes < pair[1].bytes && pair[0].loss >= pair[1].loss));
    let again = Report::read(folder.path()).expect("it is read again");
    assert!(again.markdown() == report.markdown() && again.front.len() == report.front.len());
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("Recommended") && !page.contains("http://") || page.contains("www.w3.org"), "{page}");
    let best = recommend(&report, &[Limit::Size(of("Q8_0").bytes)]).expect("one is small enough");
    assert_eq!(best.name, "Q8_0");
}

#[test]
fn pruned_variants_are_made_and_their_recovery_is_reported() {
    let Some(checkpoint) = stories() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run { gram: Some(256), ..Run::new(folder.path(), None) };
    let report = run.run(&checkpoint, &["sparse:0.5", "layers:0.5", "2:4"]).expect("it runs");
    let of = |name: &str| report.variants.iter().find(|v| v.name == name).expect("it was asked for");
    for variant in &report.variants {
        let recovered = &variant.measured.recovered;
        assert_eq!(recovered.len(), 5 * 7, "{}: the matrices of five layers", variant.name);
        for own in recovered {
            assert!(own.lost.len() > 5 && own.lost[0] < 0.5 && own.lost[0] > 0.0, "{}: {own}", variant.name);
            assert!(own.lost.windows(2).all(|pair| pair[1] <= pair[0]), "{}: {own}", variant.name);
        }
        let zeros = recovered.iter().map(|own| own.sparsity).sum::<f64>() / recovered.len() as f64;
        assert!((zeros - 0.5).abs() < 0.05 && variant.kl_mean > 0.0, "{}: {zeros}", variant.name);
    }
    let spread = |name: &str| {
        let shares = of(name).measured.recovered.iter().map(|own| own.sparsity);
        shares.fold((1.0, 0.0), |(least, most): (f64, f64), own| (least.min(own), most.max(own)))
    };
    assert_eq!(spread("2:4"), (0.5, 0.5));
    // But for matrices of 172 columns, which are no whole blocks.
    assert!(of("2:4").bits_per_weight < 7.5 && of("2:4").kl_mean > of("sparse:0.5").kl_mean);
    let (least, most) = spread("layers:0.5");
    assert!(least >= 0.28 && most <= 0.7 && most - least > 0.1, "{least} to {most}");
    assert!(of("layers:0.5").kl_mean < of("sparse:0.5").kl_mean);
    let (text, page) = (report.markdown(), report.html());
    assert!(text.contains("## Recovery") && text.contains("| layers:0.5 | 35 |"), "{text}");
    assert!(page.contains("Recovery of pruned variants") && page.matches("<svg").count() == 4);
    assert_eq!(Report::read(folder.path()).expect("it is read again").markdown(), text);
}

#[test]
fn what_was_finished_is_not_done_again() {
    let Some(checkpoint) = stories() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for stage in ["calibrating", "computing the reference", "estimating", "quantizing", "comparing"] {
        let stopped = Run::new(folder.path(), Some(stage));
        let result = stopped.run(&checkpoint, &["Q8_0"]);
        assert!(result.is_err() || stage == "comparing" || stage == "quantizing", "{stage}");
    }
    let run = Run::new(folder.path(), None);
    run.run(&checkpoint, &["Q8_0"]).expect("it goes on");
    assert_eq!(run.count("calibrating"), 0);
    assert!(run.count("computing the reference") < 4, "{:?}", run.stages);
    let again = Run::new(folder.path(), None);
    again.run(&checkpoint, &["Q8_0"]).expect("nothing is to be done");
    for stage in ["calibrating", "computing the reference", "estimating", "measuring", "quantizing", "comparing"] {
        assert_eq!(again.count(stage), 0, "{stage}");
    }
}

#[test]
fn files_that_are_there_are_variants_too() {
    let Some(checkpoint) = stories() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let made = Run::new(&folder.path().join("a"), None).run(&checkpoint, &["Q8_0"]).expect("it runs");
    let file = format!("file:{}", folder.path().join("a/variants/Q8_0.gguf").display());
    let run = Run::new(&folder.path().join("b"), None);
    let found = run.run(&checkpoint, &[&file]).expect("it runs");
    let (made, found) = (&made.variants[0], &found.variants[0]);
    assert_eq!((found.name.as_str(), found.kind.as_str(), run.count("quantizing")), ("Q8_0", file.as_str(), 0));
    assert_eq!((found.bytes, &found.quality), (made.bytes, &made.quality));
    assert!((found.bits_per_weight - made.bits_per_weight).abs() < 1e-9, "{}", found.bits_per_weight);
    assert!(Path::new(&found.path).is_absolute(), "{}", found.path);
    let missing = Run::new(folder.path(), None).run(&checkpoint, &["file:none.gguf"]).expect_err("there is none");
    assert!(missing.to_string().contains("none.gguf"), "{missing}");
}

#[test]
fn mixtures_are_made_by_speed() {
    let Some(checkpoint) = stories() else { return };
    let (none, model) = (Calibration::default(), checkpoint.bind(None).expect("a model"));
    let quantize = Quantize::new(&checkpoint, &none).expect("it can be written");
    let stop = AtomicBool::new(false);
    let times =
        time_types((&Interpreter, &model), &[DType::Q8_0, DType::Q4_K], (&stop, &|_, _, _| {})).expect("it runs");
    // Rows of 64 and 172 are no whole blocks of Q4_K.
    assert!(times.len() == 1 && times[0].0 == DType::Q8_0 && times[0].1.is_finite(), "{times:?}");
    let mut all = estimate(&quantize, &[DType::Q8_0, DType::Q4_0], &stop, &|_, _, _| {}).expect("estimated");
    set_times(&model, &quantize, &mut all, &[(DType::Q8_0, 0.5), (DType::Q4_0, 0.25)]);
    let sum = |types: &BTreeMap<String, DType>| {
        let of = |s: &Sensitivity| s.choices.iter().find(|c| Some(&c.dtype) == types.get(&s.name)).map(|c| c.time);
        all.iter().filter_map(of).sum::<f64>()
    };
    let types = |times: f64| Target::Speed(times).types(&quantize, &all);
    assert!((sum(&types(1.0).expect("as it is")) - 1.0).abs() < 1e-9);
    let (twice, thrice) = (types(1.5).expect("it can be"), types(2.0).expect("it can be"));
    assert!(sum(&twice) <= 1.0 / 1.5 && sum(&thrice) <= 0.5 && twice != thrice, "{} {}", sum(&twice), sum(&thrice));
    assert!(twice.values().any(|dtype| *dtype == DType::F32), "what loses most stays: {twice:?}");
    let error = types(100.0).expect_err("too fast").to_string();
    assert!(error.contains("speed:100 cannot be reached: the fastest mixture decodes 2"), "{error}");
}

#[test]
fn reports_are_joined_if_they_are_of_one_reference() {
    let Some(checkpoint) = stories() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let report = |name: &str, specs: &[&str]| {
        let folder = folder.path().join(name);
        Run::new(&folder, None).run(&checkpoint, specs).expect("it runs")
    };
    let (a, b) = (report("a", &["Q8_0"]), report("b", &["Q4_0"]));
    let joined = Report::joined(vec![a.clone(), b.clone()]).expect("one reference");
    assert_eq!(joined.variants.len(), 2);
    assert!(joined.markdown().contains("| Q4_0 |"));
    let mut other = b;
    other.reference.perplexity *= 1.1;
    let error = Report::joined(vec![a, other]).expect_err("another reference").to_string();
    assert!(error.contains("one reference"), "{error}");
}

#[test]
fn targets_that_cannot_be_reached_are_said() {
    let Some(checkpoint) = stories() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let error = Run::new(folder.path(), None).run(&checkpoint, &["mixed:1.5"]).expect_err("too small").to_string();
    assert!(error.contains("mixed:1.5 cannot be reached: the smallest mixture takes"), "{error}");
}

#[test]
fn one_experiment_can_be_awaited() {
    let Some(checkpoint) = stories() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(Interpreter, checkpoint, folder.path(), chunks(0, 6), chunks(100, 2));
    let check = |trial: Trial, least: f64, most: f64| {
        let outcome = pollster::block_on(lab.experiment(trial)).expect("it runs");
        let saved = outcome.size_reduction;
        assert!(saved >= least && saved <= most, "{trial:?}: {saved}");
        assert!(outcome.latency_speedup > 0.0 && outcome.accuracy_delta.abs() <= 1.0, "{outcome:?}");
        outcome
    };
    let int8 = check(Trial::Int8, 0.6, 0.75);
    assert!(int8.recommended, "{int8:?}");
    // Rows of 64 and 172 are no whole blocks of Q4_K.
    let int4 = check(Trial::Int4, 0.7, 0.8);
    assert!(int4.variant.kl_mean > int8.variant.kl_mean);
    check(Trial::Mixed { budget: Target::BitsPerWeight(7.0) }, 0.75, 0.8);
    let pruned = |sparsity| check(Trial::Pruned { sparsity, steps: 10 }, 0.45, 0.5).variant;
    let (some, most) = (pruned(0.3), pruned(0.7));
    assert!(some.kl_mean < most.kl_mean && some.kl_mean > int8.variant.kl_mean, "{} {}", some.kl_mean, most.kl_mean);
    let recovered = &some.measured.recovered;
    assert!(recovered.iter().any(|own| own.to_string().contains("after recovery")), "{recovered:?}");
    let error = pollster::block_on(lab.experiment(Trial::Pruned { sparsity: 1.5, steps: 1 })).expect_err("no share");
    assert!(error.to_string().contains("1.5"), "{error}");
}
