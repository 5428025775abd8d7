//! Whole graphs on the first GPU that there is, such as Mesa's software Vulkan: the same numbers as the reference interpreter and as
//! transformers, and the same bits whatever else is in the batch.

#[path = "../../model/tests/support/golden.rs"]
mod golden;

use std::ops::Range;
use std::sync::OnceLock;

use gpu::Gpu;
use graph::testing::{ToyConfig, ToyProgram, ToyRecurrence, difference, toy_model, upload};
use graph::{Backend, Batch, Graph, HeadOrder, Interpreter, KvType, Limits, MemoryPart};
use tensor::DType;

const LIMITS: Limits =
    Limits { max_tokens: 64, max_outputs: 64, kv_blocks: 64, block_len: 16, kv_type: KvType::F32, state_slots: 8 };

/// The GPU of all tests.
fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(0).expect("a GPU, or Debian's mesa-vulkan-drivers and libvulkan1")).clone()
}

/// The toy model as the rules of the GPU fuse it, but for those that are disabled.
fn fused<B: Backend>(backend: B, toy: &(Graph, Vec<Vec<u8>>), limits: Limits, disabled: &[&str]) -> ToyProgram<B> {
    ToyProgram::new(backend, toy, limits, (Gpu::DEVICE.rules, disabled))
}

fn tokens(seed: u32, n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * i * 7 + i * seed + seed) % 67).collect()
}

fn configs() -> Vec<ToyConfig> {
    let plain = ToyConfig::default();
    let delta = |order, by_row| Some(ToyRecurrence::Delta { order, by_row });
    let mut all = vec![
        ToyConfig { head_dim: 80, heads: (6, 2), vocab: 203, width: 48, ..plain.clone() },
        ToyConfig { window: Some(7), softcap: Some(3.0), ..plain.clone() },
        ToyConfig { window: Some(21), sinks: true, heads: (8, 1), head_dim: 12, ..plain.clone() },
        ToyConfig { experts: Some((5, 2)), ..plain.clone() },
        ToyConfig { heads: (6, 0), head_dim: 12, ..plain.clone() },
        ToyConfig { heads: (3, 0), experts: Some((6, 2)), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Conv(3)), width: 80, layers: 3, ..plain.clone() },
        ToyConfig { recurrent: delta(HeadOrder::Tiled, false), ..plain.clone() },
        ToyConfig { recurrent: delta(HeadOrder::Grouped, true), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Scan(2)), ..plain.clone() },
        ToyConfig { experts: Some((9, 4)), sinks: true, dtype: DType::Q8_0, ..plain.clone() },
    ];
    let small = [DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::MXFP4, DType::Q4_1, DType::Q8_ROW];
    all.extend(small.map(|dtype| ToyConfig { dtype, ..plain.clone() }));
    let large = ToyConfig { width: 256, hidden: 512, layers: 1, heads: (4, 2), head_dim: 64, ..plain };
    all.extend([DType::Q4_K, DType::Q5_K, DType::Q6_K].map(|dtype| ToyConfig { dtype, ..large.clone() }));
    all
}

fn close(got: &[f32], wanted: &[f32], tolerance: f32, what: &str) {
    let worst = difference(got, wanted);
    assert!(worst <= tolerance, "{what}: off by {worst} of the largest");
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn numbers_are_those_of_the_interpreter() {
    let (a, b) = (tokens(3, 45), tokens(5, 19));
    let few: &[&str] = &["attention", "rope-kv", "bias", "residual", "select-early"];
    for (i, config) in configs().iter().enumerate() {
        let toy = toy_model(config);
        // Each smaller type with some of the models, and so the operators that are not fused.
        let smaller = KvType::all().nth(1 + i % 3).expect("four types");
        let ways = [(KvType::F32, &[][..]), (KvType::F32, few), (smaller, [&[][..], few][i / 3 % 2])];
        for (kv_type, disabled) in ways {
            // Each block length with some of the models.
            let limits = Limits { kv_type, block_len: [5, 16, 32][i % 3], ..LIMITS };
            if config.experts.is_some_and(|(_, chosen)| chosen > 2) && kv_type != KvType::F32 {
                // A small difference makes other experts the best now and then.
                continue;
            }
            let what = format!("{kv_type:?} {config:?}, disabled {disabled:?}");
            // What is read from the cache differs by a step of its type now and then.
            let tolerance = match kv_type {
                // Its matrices are kept as F16.
                KvType::F32 if [DType::Q4_1, DType::Q8_ROW].contains(&config.dtype) => 2e-3,
                KvType::F32 => 5e-5,
                KvType::F16 => 5e-3,
                KvType::Q8_0 => 5e-2,
                KvType::Q4_0 => 0.5,
            };
            let mut wanted = fused(Interpreter, &toy, limits, disabled);
            let mut model = fused(gpu(), &toy, limits, disabled);
            for spans in [&[(0, 0, &a[..40]), (1, 0, &b[..12])], &[(0, 40, &a[40..]), (1, 12, &b[12..])]] {
                close(&model.step(spans), &wanted.step(spans), tolerance, &what);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_batch_or_chunks() {
    let (a, b, c) = (tokens(3, 40), tokens(5, 40), tokens(11, 20));
    let emulating = Gpu::open_emulating_units(0).expect("it was opened before");
    // With matrix units some of them.
    let by_units = configs().into_iter().step_by(4).map(|config| (emulating.clone(), config));
    for (gpu, config) in configs().into_iter().map(|config| (gpu(), config)).chain(by_units) {
        let what = format!("{:?} {config:?}", gpu.multiplier());
        let limits = Limits { kv_type: KvType::F16, ..LIMITS };
        let mut model = fused(gpu, &toy_model(&config), limits, &[]);
        let wanted = model.step(&[(0, 0, &a)]);
        assert!(wanted.iter().all(|x| x.is_finite()), "{what}");
        let width = wanted.len() / a.len();
        let mut same = |spans: &[(u32, usize, &[u32])], rows: Range<usize>, at: usize, how: &str| {
            let got = model.step(spans);
            let (got, n) = (&got[at * width..][..rows.len() * width], rows.len());
            assert!(bits(got) == bits(&wanted[rows.start * width..][..n * width]), "{what}: {how}");
        };
        for (i, token) in a.iter().enumerate().take(20) {
            same(&[(1, i, &[*token])], i..i + 1, 0, "token by token");
        }
        same(&[(2, 0, &a[..13])], 0..13, 0, "the first chunk");
        same(&[(2, 13, &a[13..30])], 13..30, 0, "the second chunk");
        same(&[(0, 0, &b[..20]), (2, 30, &a[30..]), (3, 0, &c)], 30..40, 20, "the third, in a batch of three");
    }
}

#[test]
fn sequences_longer_than_a_unit_of_attention_are_those_of_the_interpreter() {
    let limits = Limits { max_tokens: 300, kv_blocks: 160, block_len: 8, kv_type: KvType::F16, ..LIMITS };
    for (window, sinks) in [(None, false), (Some(130), true)] {
        let config = ToyConfig { window, sinks, layers: 2, ..ToyConfig::default() };
        let (toy, a) = (toy_model(&config), tokens(3, 290));
        let mut wanted = fused(Interpreter, &toy, limits, &[]);
        let mut model = fused(gpu(), &toy, limits, &[]);
        let step = |rows: Range<usize>| {
            let mut batch = Batch { outputs: (0..4.min(rows.len() as u32)).collect(), ..Batch::default() };
            batch.push(&a[rows.clone()], rows.start, 0..rows.end.div_ceil(8) as u32);
            batch
        };
        for batch in [step(0..270), step(270..285), step(285..290)] {
            Interpreter.run(&mut wanted.program, &batch).expect("a batch within limits");
            model.backend.run(&mut model.program, &batch).expect("a batch within limits");
            let (got, wanted) = (model.backend.download(&model.program), Interpreter.download(&wanted.program));
            close(got, wanted, 5e-3, &format!("{config:?}"));
        }
    }
}

/// A step is encoded while the one before it is computed; one of another form than was expected is encoded anew.
#[test]
fn steps_that_go_on_are_ready_before_their_tokens_are_known() {
    let (a, b) = (tokens(3, 40), tokens(5, 40));
    let toy = toy_model(&ToyConfig::default());
    let mut model = fused(gpu(), &toy, LIMITS, &[]);
    let mut whole = fused(gpu(), &toy, LIMITS, &[]);
    let (wanted_a, wanted_b) = (whole.step(&[(0, 0, &a)]), whole.step(&[(1, 0, &b)]));
    let width = wanted_a.len() / a.len();
    let of = |wanted: &[f32], row: usize| wanted[row * width..][..width].to_vec();
    // Spans of the two sequences, and whether the step is as the one before it lets expect.
    let steps: [(Range<usize>, Range<usize>, bool); 7] = [
        (0..5, 0..0, false),
        (5..6, 0..0, false),
        (6..7, 0..0, true),
        (7..8, 0..0, true),
        (8..9, 0..7, false),
        (9..10, 7..8, false),
        (10..11, 8..9, true),
    ];
    for (of_a, of_b, is_expected) in steps {
        let spans = [(0, of_a.start, &a[of_a.clone()]), (1, of_b.start, &b[of_b.clone()])];
        let given: Vec<_> = spans.into_iter().filter(|(_, _, tokens)| !tokens.is_empty()).collect();
        let got = model.step(&given);
        let wanted = of_a.clone().map(|row| of(&wanted_a, row)).chain(of_b.clone().map(|row| of(&wanted_b, row)));
        assert!(bits(&got) == bits(&wanted.collect::<Vec<_>>().concat()), "{of_a:?} {of_b:?}");
        assert_eq!(model.program.took().was_ready, is_expected, "{of_a:?} {of_b:?}");
    }
    let mut batch = Batch { outputs: vec![0], top: vec![2], ..Batch::default() };
    for (position, is_expected) in [(11, false), (12, true)] {
        batch.spans.clear();
        batch.tokens.clear();
        batch.blocks.clear();
        batch.push_with_state(&a[position..=position], position, [0], Some(0));
        model.backend.run(&mut model.program, &batch).expect("a batch within limits");
        let mut wanted = vec![];
        graph::reduce(&of(&wanted_a, position), 2, &mut wanted);
        let got = model.backend.download(&model.program);
        assert_eq!(&got[1..], &wanted[1..], "{position}");
        assert!((got[0] - wanted[0]).abs() < 1e-5, "{position}: {} {}", got[0], wanted[0]);
        let took = model.program.took();
        assert_eq!((took.was_ready, took.read), (is_expected, 20), "{position}");
    }
}

#[test]
fn copied_saved_and_loaded_memories_read_as_the_originals() {
    let a = tokens(3, 20);
    for kv_type in KvType::all() {
        let config = ToyConfig { recurrent: Some(ToyRecurrence::Conv(4)), ..ToyConfig::default() };
        let mut model = fused(gpu(), &toy_model(&config), Limits { kv_type, ..LIMITS }, &[]);
        model.step(&[(0, 0, &a[..19])]);
        let copies = Batch { copies: vec![(4, 9)], state_copies: vec![(0, 5)], ..Batch::default() };
        model.backend.run(&mut model.program, &copies).expect("a batch within limits");
        let mut moved = vec![];
        for (from, to) in [(MemoryPart::Block(0), MemoryPart::Block(11)), (MemoryPart::State(5), MemoryPart::State(6))]
        {
            moved.clear();
            assert!(model.backend.save(&model.program, from, &mut moved), "{from:?}");
            assert!(!model.backend.load(&mut model.program, to, &moved[1..]), "a byte is missing");
            assert!(model.backend.load(&mut model.program, to, &moved), "{to:?}");
        }
        let wanted = model.step(&[(0, 19, &a[19..])]);
        let mut batch = Batch { outputs: vec![0], ..Batch::default() };
        batch.push_with_state(&a[19..], 19, [11, 9], Some(6));
        model.backend.run(&mut model.program, &batch).expect("a batch within limits");
        assert_eq!(model.backend.download(&model.program), wanted);
    }
}

#[test]
fn logits_are_those_of_transformers() {
    for name in golden::names() {
        // Encoders have no kernels there.
        let graph = golden::load(&name).0.graph().clone();
        match graph.causal() {
            true => golden::check_fused(&name, &gpu(), &gpu::supported_types()),
            false => assert!(Gpu::check(&graph).is_err(), "{name}"),
        }
    }
}

/// A stage of a model on a backend.
trait Stage {
    fn run(&mut self, batch: &Batch) -> Vec<f32>;
}

struct On<B: Backend>(B, B::Program);

impl<B: Backend> Stage for On<B> {
    fn run(&mut self, batch: &Batch) -> Vec<f32> {
        self.0.run(&mut self.1, batch).expect("a batch within limits");
        self.0.download(&self.1).to_vec()
    }
}

/// A part of a graph, fused by the backend's rules.
fn stage<B: Backend + 'static>(backend: B, part: &graph::Stage, weights: &[Vec<u8>]) -> Box<dyn Stage> {
    let graph = graph::fuse(&part.graph, backend.device().rules, &[]).expect("no rule is disabled").graph;
    let own: Vec<Vec<u8>> = part.weights.iter().map(|id| weights[id.index()].clone()).collect();
    let program = backend.compile(&graph, upload(&backend, &graph, &own), LIMITS).expect("memory");
    Box::new(On(backend, program))
}

/// The outputs of a prompt, of more of it, and of a token after it.
fn outputs(stages: &mut [Box<dyn Stage>], a: &[u32]) -> Vec<f32> {
    let (mut given, last) = (vec![], stages.len() - 1);
    for rows in [0..a.len() - 6, a.len() - 6..a.len() - 1, a.len() - 1..a.len()] {
        let mut batch = Batch::default();
        batch.push_with_state(&a[rows.clone()], rows.start, 0..rows.end.div_ceil(16) as u32, Some(0));
        for (i, stage) in stages.iter_mut().enumerate() {
            let first = if i == last { rows.len() as u32 - 1 } else { 0 };
            batch.outputs = (first..rows.len() as u32).collect();
            batch.inputs = stage.run(&batch);
        }
        given.extend_from_slice(&batch.inputs);
    }
    given
}

#[test]
fn stages_on_it_give_the_bits_of_the_whole() {
    let a = tokens(3, 40);
    for config in configs() {
        let (graph, weights) = toy_model(&config);
        let Some(&cut) = graph.layers().get(1) else { continue };
        let run = |cuts: &[usize]| {
            let parts = graph::split(&graph, cuts).expect("layers can be parted");
            let mut stages: Vec<_> = parts.iter().map(|part| stage(gpu(), part, &weights)).collect();
            bits(&outputs(&mut stages, &a))
        };
        assert!(run(&[cut]) == run(&[]), "{config:?}");
    }
}

/// Each architecture, a part of it on the GPU and the other computed by the reference interpreter.
#[test]
fn architectures_are_divided_between_devices() {
    let mut divided = 0;
    for name in golden::names() {
        let (model, _) = golden::load(&name);
        let graph = model.graph();
        let cut = graph.layers().into_iter().skip(1).find(|&at| graph.can_split(at));
        let Some(cut) = cut.filter(|_| graph.causal()) else { continue };
        let weights: Vec<Vec<u8>> =
            graph.weight_ids().map(|id| model.read(id).expect("the fixture is whole").to_vec()).collect();
        let parts = graph::split(graph, &[cut]).expect("it can be cut there");
        let whole = graph::split(graph, &[]).expect("nothing is cut");
        let a: Vec<u32> = tokens(5, 20).iter().map(|token| token % graph.tokens() as u32).collect();
        let wanted = outputs(&mut [stage(Plain, &whole[0], &weights)], &a);
        let kept = graph.weights().iter().all(|info| gpu::supported_types().contains(&info.dtype));
        let tolerance = if kept { 5e-4 } else { 5e-3 };
        let (first, second) = (&parts[0], &parts[1]);
        let ends = [stage(Plain, first, &weights), stage(gpu(), second, &weights)];
        close(&outputs(&mut { ends }, &a), &wanted, tolerance, &format!("{name}, its end on the GPU"));
        let begins = [stage(gpu(), first, &weights), stage(Plain, second, &weights)];
        close(&outputs(&mut { begins }, &a), &wanted, tolerance, &format!("{name}, its beginning on the GPU"));
        divided += 1;
    }
    assert!(divided > 30, "only {divided} architectures were divided");
}

/// The interpreter with the GPU's rules of fusion: neither rounds rows to 8 bits.
#[derive(Clone, Copy)]
struct Plain;

impl Backend for Plain {
    type Weight = Vec<f32>;
    type Program = <Interpreter as Backend>::Program;

    fn device(&self) -> graph::Device {
        Gpu::DEVICE
    }

    fn upload(&self, info: &graph::WeightInfo, bytes: &[u8]) -> Result<Vec<f32>, graph::BackendError> {
        Interpreter.upload(info, bytes)
    }

    fn compile(
        &self,
        graph: &Graph,
        weights: Vec<std::sync::Arc<Vec<f32>>>,
        limits: Limits,
    ) -> Result<Self::Program, graph::BackendError> {
        Interpreter.compile(graph, weights, limits)
    }

    fn run(&self, program: &mut Self::Program, batch: &Batch) -> Result<(), graph::BackendError> {
        Interpreter.run(program, batch)
    }

    fn download<'p>(&self, program: &'p Self::Program) -> &'p [f32] {
        Interpreter.download(program)
    }
}

#[test]
fn it_is_measured() {
    let speed = gpu().measure().expect("memory for some matrices");
    assert!(speed.read_gb_s > 0.0 && speed.read_gb_s.is_finite(), "{speed:?}");
    assert!(speed.f32_gflop_s > 0.0 && speed.f32_gflop_s.is_finite(), "{speed:?}");
}

#[test]
fn bad_calls_are_refused() {
    let (graph, weights) = toy_model(&ToyConfig::default());
    let gpu = gpu();
    assert!(gpu.upload(&graph.weights()[0], &weights[0][1..]).is_err(), "a byte is missing");
    let mut model = fused(gpu, &(graph.clone(), weights.clone()), LIMITS, &[]);
    let mut batch = Batch::default();
    batch.push(&[999], 0, [0]);
    assert!(model.backend.run(&mut model.program, &batch).is_err(), "a token that is not there");
    for top in [vec![129], vec![68], vec![1, 1]] {
        let mut batch = Batch { outputs: vec![0], top, ..Batch::default() };
        batch.push(&[1], 0, [0]);
        let error = model.backend.run(&mut model.program, &batch).expect_err("more than there are").to_string();
        assert!(error.starts_with("batch refused: the ") && error.contains("greatest of"), "{error}");
    }
    let mut weights = upload(&model.backend, &graph, &weights);
    for limits in [Limits { max_tokens: 1 << 31, ..LIMITS }, Limits { kv_blocks: usize::MAX / 2, ..LIMITS }] {
        let error = model.backend.compile(&graph, weights.clone(), limits).expect_err("too much").to_string();
        assert!(error.starts_with("no memory for "), "{error}");
    }
    weights.swap(0, 1);
    let error = model.backend.compile(&graph, weights, LIMITS).expect_err("weights in another order").to_string();
    assert!(error.starts_with("weight token_embd.weight: [64] F32 read as Elements was given where"), "{error}");
    assert!(model.step(&[]).is_empty());
    let quantized = toy_model(&ToyConfig { dtype: DType::Q8_0, ..ToyConfig::default() }).0;
    let rounded = graph::fuse(&quantized, graph::rules(), &[]).expect("no rule is disabled").graph;
    let error = Gpu::check(&rounded).expect_err("rows in 8 bits have no kernels").to_string();
    assert!(error.contains("rms_norm of rows in 8 bits") && error.ends_with("; use --device cpu"), "{error}");
    assert_eq!(Gpu::check(&graph), Ok(()));
}
