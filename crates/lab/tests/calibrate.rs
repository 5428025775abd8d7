//! Calibration: what is added up is what each matrix's input is when it is computed alone.

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use graph::testing::{ToyConfig, ToyRecurrence, difference, toy_model, upload};
use graph::{Graph, GraphBuilder, Interpreter, Op, ValueId};
use lab::{CalibrateOptions, Kept, Runner, Weights, calibrate_graph};

fn chunks(config: &ToyConfig) -> Vec<Vec<u32>> {
    let token = |i: usize| (i * 31 % config.vocab) as u32;
    vec![(0..20).map(token).collect(), (20..33).map(token).collect()]
}

fn options(gram: Option<usize>) -> CalibrateOptions {
    CalibrateOptions { gram, datasets: vec!["toy".into()], kept: None, stop: Arc::default() }
}

/// The rows of a value over all chunks.
fn rows(graph: &Graph, weights: &Weights<Interpreter>, value: ValueId, chunks: &[Vec<u32>]) -> Vec<f32> {
    let mut builder = GraphBuilder::until(graph, value).expect("a part");
    let selected = builder.push(Op::SelectOutputs, &[value]).expect("selected");
    let graph = builder.finish("value", selected).expect("a graph");
    let mut runner = Runner::new(&Interpreter, &graph, weights, 40, 40).expect("compiled");
    let mut all = Vec::new();
    for chunk in chunks {
        let kept = runner.run(chunk, 0, |_, rows| {
            all.extend_from_slice(rows);
            Ok(())
        });
        kept.expect("computed");
    }
    all
}

fn check(config: &ToyConfig) {
    let (graph, bytes) = toy_model(config);
    let weights = Weights::new(upload(&Interpreter, &graph, &bytes));
    let chunks = chunks(config);
    let tokens = chunks.iter().map(Vec::len).sum::<usize>();
    let found = calibrate_graph(&Interpreter, (&graph, &weights), &chunks, &options(Some(1024)), &|_, _, _| {});
    let found = found.expect("calibrated");
    let mut seen = 0;
    for node in graph.nodes() {
        let (weight, heads) = match node.op {
            Op::Linear { weight } => (weight, 1),
            Op::HeadLinear { weight } => (weight, graph.weight(weight).shape.outer),
            Op::ExpertLinear { weight } => {
                check_experts(config, &found.statistics.entries[&graph.weight(weight).name], tokens);
                continue;
            }
            _ => continue,
        };
        let name = &graph.weight(weight).name;
        let input = rows(&graph, &weights, node.inputs[0], &chunks);
        let width = graph.value(node.inputs[0]).width;
        let mut sums = vec![0.0; width];
        input.chunks(width).for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x));
        let entry = &found.statistics.entries[name];
        assert!(difference(&entry.sums, &sums) < 1e-5, "{name}: {:?} instead of {sums:?}", entry.sums);
        assert_eq!(entry.counts, vec![tokens as f32; heads], "{name}");
        if heads == 1 {
            let (first, gram) = found.grams[name].blocks().next().expect("a block");
            let diagonal: Vec<f32> = (0..width).map(|i| gram[i * width + i]).collect();
            assert!(first == 0 && difference(&diagonal, &sums) < 1e-5, "{name}");
            let product: f32 = input.chunks(width).map(|row| row[1] * row[width - 1]).sum();
            let largest = sums.iter().copied().fold(0.0, f32::max);
            for at in [width + width - 1, (width - 1) * width + 1] {
                assert!((gram[at] - product).abs() < 1e-4 * largest, "{name}: {} instead of {product}", gram[at]);
            }
        }
        seen += 1;
    }
    assert!(seen > 3, "{seen}");
}

/// Every token chooses as many experts as it is meant to.
fn check_experts(config: &ToyConfig, entry: &lab::Entry, tokens: usize) {
    let (count, used) = config.experts.expect("experts");
    assert_eq!(entry.counts.len(), count);
    assert_eq!(entry.counts.iter().sum::<f32>(), (tokens * used) as f32);
    let cols = entry.cols();
    for (sums, visits) in entry.sums.chunks(cols).zip(&entry.counts) {
        assert_eq!(sums.iter().any(|sum| *sum > 0.0), *visits > 0.0, "{entry:?}");
    }
}

#[test]
fn inputs_of_matrices_are_added_up() {
    let plain = ToyConfig::default();
    check(&plain);
    check(&ToyConfig { softcap: Some(5.0), window: Some(4), ..plain.clone() });
    check(&ToyConfig { experts: Some((5, 2)), ..plain.clone() });
    check(&ToyConfig { heads: (4, 0), ..plain.clone() });
    check(&ToyConfig { recurrent: Some(ToyRecurrence::Conv(3)), layers: 3, ..plain });
}

#[test]
fn experts_have_their_own_inputs() {
    let config = ToyConfig { experts: Some((40, 2)), ..ToyConfig::default() };
    let (graph, bytes) = toy_model(&config);
    let weights = Weights::new(upload(&Interpreter, &graph, &bytes));
    let found = calibrate_graph(&Interpreter, (&graph, &weights), &chunks(&config), &options(None), &|_, _, _| {});
    let statistics = found.expect("calibrated").statistics;
    let unvisited: BTreeMap<&str, Vec<usize>> = statistics.unvisited().into_iter().collect();
    assert!(!unvisited.is_empty(), "33 tokens cannot visit 40 experts in every layer");
    for (name, experts) in unvisited {
        let entry = &statistics.entries[name];
        experts.iter().for_each(|expert| assert_eq!(entry.mean_squares(*expert, entry.cols()), None, "{name}"));
    }
}

#[test]
fn it_can_be_stopped_and_needs_text() {
    let config = ToyConfig::default();
    let (graph, bytes) = toy_model(&config);
    let weights = Weights::new(upload(&Interpreter, &graph, &bytes));
    let run = |chunks: &[Vec<u32>], options: &CalibrateOptions, progress: lab::Progress| {
        calibrate_graph(&Interpreter, (&graph, &weights), chunks, options, progress)
    };
    let error = run(&[], &options(None), &|_, _, _| {}).expect_err("there is no text").to_string();
    assert!(error.contains("--data"), "{error}");
    let stopping = options(None);
    let stop: &AtomicBool = &stopping.stop;
    let found = run(&chunks(&config), &stopping, &|_, _, _| stop.store(true, Ordering::Relaxed)).expect("one chunk");
    assert_eq!(found.statistics.chunks, 1);
    assert!(run(&chunks(&config), &stopping, &|_, _, _| {}).is_err());
    assert!(run(&[vec![1000; 4]], &options(None), &|_, _, _| {}).is_err(), "no such token");
}

#[test]
fn it_goes_on_where_it_was_stopped() {
    let config = ToyConfig { experts: Some((5, 2)), ..ToyConfig::default() };
    let (graph, bytes) = toy_model(&config);
    let weights = Weights::new(upload(&Interpreter, &graph, &bytes));
    let chunks = chunks(&config);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("toy.sums");
    let calibrated = |key: u8, stop_after: u64| {
        let kept = Some(Kept { path: path.clone(), key: [key; 32] });
        let options = CalibrateOptions { kept, ..options(Some(16)) };
        let computed = Cell::new(0);
        let progress = |_: &str, done, _| {
            computed.set(computed.get() + 1);
            options.stop.store(done >= stop_after, Ordering::Relaxed);
        };
        let found = calibrate_graph(&Interpreter, (&graph, &weights), &chunks, &options, &progress);
        (found.expect("calibrated"), computed.get())
    };
    let (whole, computed) = calibrated(0, 9);
    assert_eq!(computed, 2);
    std::fs::remove_file(&path).expect("it is kept");
    let (part, _) = calibrated(1, 1);
    assert_eq!(part.statistics.chunks, 1);
    let (again, computed) = calibrated(1, 9);
    assert_eq!((computed, &again.statistics, &again.grams), (1, &whole.statistics, &whole.grams));
    // What is whole is not computed again; what is of something else is not used, nor what was cut off.
    assert_eq!(calibrated(1, 9).1, 0);
    assert_eq!(calibrated(2, 1).1, 1);
    let bytes = std::fs::read(&path).expect("it is kept");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
    assert_eq!(calibrated(2, 9).1, 2);
}
