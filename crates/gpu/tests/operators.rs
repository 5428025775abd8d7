//! Every operator on random rows of random shapes: the same numbers as the reference interpreter. Seeds are fixed.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use gpu::{Gpu, Program};
use graph::testing::{difference, random_rows, uniform, upload};
use graph::{
    Activation, Attention, Backend, Batch, End, GateScoring, GatedDelta, Graph, GraphBuilder, Groups, Growth,
    HeadOrder, Interpreter, KvShape, KvType, Limits, Memory, Op, Product, Rope, RopeStyle, Scan, Squash, ValueId,
    WeightId, WeightInfo,
};
use tensor::{DType, Shape};

/// What results may be off by, of the largest one: sums run in another order.
const TOLERANCE: f32 = 2e-5;
/// Random shapes of each operator.
const SHAPES: u64 = 6;

fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(0).expect("a GPU, or Debian's mesa-vulkan-drivers and libvulkan1")).clone()
}

/// A graph that is built of random sizes and numbers.
struct Case {
    graph: GraphBuilder,
    weights: Vec<Vec<u8>>,
    random: u64,
    rows: usize,
}

impl Case {
    /// A whole number in a range.
    fn size(&mut self, least: usize, most: usize) -> usize {
        least + ((uniform(&mut self.random) + 1.0) / 2.0 * (most - least + 1) as f32) as usize
    }

    fn input(&mut self, width: usize) -> ValueId {
        self.input_around(width, 0.0, 2.0)
    }

    /// Numbers around a center: token i looks up row i.
    fn input_around(&mut self, width: usize, center: f32, size: f32) -> ValueId {
        let info = WeightInfo::matrix("x", Shape::matrix(self.rows, width), DType::F32);
        let table = self.numbers(info, center, size);
        self.push(Op::Embed { table }, &[])
    }

    fn vector(&mut self, len: usize, center: f32) -> WeightId {
        self.numbers(WeightInfo::elements("v", Shape::vector(len), DType::F32), center, 0.5)
    }

    fn table(&mut self, rows: usize, cols: usize) -> WeightId {
        self.numbers(WeightInfo::elements("t", Shape::matrix(rows, cols), DType::F32), 0.0, 1.0)
    }

    fn matrix(&mut self, shape: Shape, dtype: DType) -> WeightId {
        self.weights.push(random_rows(dtype, &mut self.random, (shape.outer * shape.rows, shape.cols), 1.0));
        self.graph.weight(WeightInfo::matrix("w", shape, dtype))
    }

    fn numbers(&mut self, info: WeightInfo, center: f32, size: f32) -> WeightId {
        let count = info.shape.elements().expect("small");
        let bytes = (0..count).flat_map(|_| (center + size * uniform(&mut self.random)).to_le_bytes());
        self.weights.push(bytes.collect());
        self.graph.weight(info)
    }

    fn push(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.graph.push(op, inputs).expect("a sound case")
    }
}

/// Compares what `build` makes of so many sequences' rows, on some random shapes.
fn check(name: &str, build: impl Fn(&mut Case) -> ValueId) {
    check_on((gpu(), TOLERANCE), name, build);
}

/// As [`check`], of a device whose results may be off by so much.
fn check_on((gpu, tolerance): (Gpu, f32), name: &str, build: impl Fn(&mut Case) -> ValueId) {
    for seed in 0..SHAPES {
        let mut case = Case { graph: GraphBuilder::new(), weights: vec![], random: 77 * seed + 1, rows: 0 };
        case.rows = case.size(1, 21);
        let result = build(&mut case);
        let result = case.push(Op::SelectOutputs, &[result]);
        let graph = std::mem::take(&mut case.graph).finish("rows", result).expect("a sound case");
        for kv_type in if graph.memory().is_empty() { vec![KvType::F32] } else { KvType::all().collect() } {
            let [got, wanted] = [run(gpu.clone(), &graph, &case, kv_type), run(Interpreter, &graph, &case, kv_type)];
            let worst = difference(&got, &wanted);
            // A rotated key that is off by a bit may be rounded to another step.
            let tolerance = if kv_type == KvType::F32 { tolerance } else { 2e-2 };
            assert!(worst <= tolerance, "{name}, seed {seed}, {kv_type:?}: off by {worst} of the largest");
        }
    }
}

/// All rows, of two sequences that have begun and go on in a second batch.
fn run<B: Backend>(backend: B, graph: &Graph, case: &Case, kv_type: KvType) -> Vec<f32> {
    let weights = upload(&backend, graph, &case.weights);
    let (rows, block_len) = (case.rows, 3);
    let blocks = rows.div_ceil(block_len) + 1;
    let limits =
        Limits { max_tokens: rows, max_outputs: rows, kv_blocks: 2 * blocks, block_len, kv_type, state_slots: 2 };
    let mut program = backend.compile(graph, weights, limits).expect("memory");
    let (cut, mut all) = (rows / 2, vec![]);
    for (from, to) in [(0, cut), (cut, rows)] {
        let mut batch = Batch::default();
        let (first, second) = (from..from + (to - from) / 2, from + (to - from) / 2..to);
        let done = if from > 0 { [cut / 2, cut - cut / 2] } else { [0, 0] };
        for (sequence, rows) in [first, second].into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let tokens: Vec<u32> = rows.map(|row| row as u32).collect();
            let table = (0..blocks as u32).map(|block| 2 * block + sequence as u32);
            batch.push_with_state(&tokens, done[sequence], table, Some(sequence as u32));
        }
        batch.outputs = (0..batch.tokens.len() as u32).collect();
        backend.run(&mut program, &batch).expect("a batch within limits");
        all.extend_from_slice(backend.download(&program));
    }
    all
}

#[test]
fn elements() {
    let binary = |op: Op| {
        move |c: &mut Case| {
            let width = c.size(1, 200);
            let inputs = [c.input(width), c.input(width)];
            c.push(op.clone(), &inputs)
        }
    };
    check("add", binary(Op::Add));
    check("mul", binary(Op::Mul));
    check("mul by spans", |c| {
        let (span, count) = (c.size(1, 9), c.size(1, 30));
        let inputs = [c.input(span * count), c.input(count)];
        c.push(Op::Mul, &inputs)
    });
    let acts = [
        Activation::Silu,
        Activation::Sigmoid,
        Activation::GeluTanh,
        Activation::GeluErf,
        Activation::Relu,
        Activation::SquaredRelu,
        Activation::Softplus,
        Activation::Xielu { square: 0.7, exponential: 0.4, linear: 0.5 },
    ];
    for act in acts {
        check(&format!("{act:?}, gated"), binary(Op::Glu { act }));
        check(&format!("{act:?}"), |c| {
            let width = c.size(1, 200);
            let size = c.size(1, 12) as f32;
            let x = c.input_around(width, 0.0, size);
            c.push(Op::Activate { act }, &[x])
        });
    }
    check("clamped", binary(Op::Glu { act: Activation::ClampedSilu { alpha: 1.7, limit: 1.1 } }));
    let unary = |op: Op| {
        move |c: &mut Case| {
            let width = c.size(1, 200);
            let x = c.input(width);
            c.push(op.clone(), &[x])
        }
    };
    check("scale", unary(Op::Scale { by: -1.5 }));
    check("soft cap", unary(Op::SoftCap { cap: 1.3 }));
    check("grow", unary(Op::Grow(Growth { rate: 0.3, every: 4 })));
    check("bias", |c| {
        let width = c.size(1, 200);
        let (x, bias) = (c.input(width), c.vector(width, 0.0));
        c.push(Op::AddBias { bias }, &[x])
    });
    check("scale by spans", |c| {
        let (span, count) = (c.size(1, 20), c.size(1, 9));
        let (x, weight) = (c.input(span * count), c.vector(span, 1.0));
        c.push(Op::ScaleBy { weight }, &[x])
    });
    check("slice", |c| {
        let (span, count) = (c.size(2, 30), c.size(1, 5));
        let first = c.size(0, span - 1);
        let width = c.size(1, span - first);
        let x = c.input(span * count);
        c.push(Op::Slice { span, first, width }, &[x])
    });
    check("concat", |c| {
        let (parts, a, b) = (c.size(1, 6), c.size(1, 20), c.size(1, 20));
        let inputs = [c.input(parts * a), c.input(parts * b)];
        c.push(Op::Concat { parts }, &inputs)
    });
}

#[test]
fn norms() {
    check("rms", |c| {
        let (span, count) = (c.size(1, 300), c.size(1, 4));
        let (x, weight) = (c.input(span * count), c.vector(span, 1.0));
        c.push(Op::RmsNorm { weight, eps: 1e-5, quantize: false }, &[x])
    });
    check("unit", |c| {
        let (span, count) = (c.size(1, 300), c.size(1, 4));
        let x = c.input(span * count);
        c.push(Op::UnitNorm { span, eps: 1e-6 }, &[x])
    });
    for with_bias in [false, true] {
        check("layer", |c| {
            let (span, turns, count) = (c.size(2, 200), c.size(1, 3), c.size(1, 3));
            let x = c.input_around(span * turns * count, 3.0, 2.0);
            let weight = c.vector(span * turns, 1.0);
            let bias = with_bias.then(|| c.vector(span * turns, 0.0));
            c.push(Op::LayerNorm { weight, bias, span, eps: 1e-5 }, &[x])
        });
    }
    check("gaussian", |c| {
        let width = c.size(2, 300);
        let x = c.input_around(width, 1.0, 2.0);
        c.push(Op::GaussianTopK { deviations: 0.3 }, &[x])
    });
}

#[test]
fn products_of_every_type() {
    for dtype in gpu::supported_types() {
        let block = dtype.layout().block_len;
        let sizes = move |c: &mut Case| {
            // Of plain types any number of columns; units are of 8.
            let cols = if block == 1 { c.size(1, 200) } else { block * c.size(1, 3) };
            (c.size(1, 40), cols)
        };
        check(&format!("{dtype}"), |c| {
            let (rows, cols) = sizes(c);
            let (x, weight) = (c.input(cols), c.matrix(Shape::matrix(rows, cols), dtype));
            c.push(Op::Linear { weight }, &[x])
        });
        check(&format!("{dtype} with a bias and a residual"), |c| {
            let (rows, cols) = sizes(c);
            let (x, weight) = (c.input(cols), c.matrix(Shape::matrix(rows, cols), dtype));
            let (residual, bias) = (c.input(rows), c.vector(rows, 0.0));
            let product = Product { weights: vec![weight], biases: vec![Some(bias)], end: End::Add, quantize: false };
            c.push(Op::Product(product), &[residual, x])
        });
        check(&format!("{dtype} of heads"), |c| {
            let (rows, cols) = sizes(c);
            let heads = c.size(1, 4);
            let (x, weight) = (c.input(heads * cols), c.matrix(Shape { outer: heads, rows, cols }, dtype));
            c.push(Op::HeadLinear { weight }, &[x])
        });
        for own in [false, true] {
            check(&format!("{dtype} of experts"), |c| {
                let (rows, cols) = sizes(c);
                let experts = c.size(2, 6);
                let k = c.size(1, experts);
                let scores = c.input(experts);
                let ids = c.push(Op::TopK { k }, &[scores]);
                let x = c.input(if own { k * cols } else { cols });
                let weight = c.matrix(Shape { outer: experts, rows, cols }, dtype);
                c.push(Op::ExpertLinear { weight }, &[x, ids])
            });
        }
        check(&format!("rows of {dtype}"), |c| {
            let (_, cols) = sizes(c);
            let table = c.matrix(Shape::matrix(21, cols), dtype);
            c.push(Op::Embed { table }, &[])
        });
    }
}

/// What is around matrix units, with which numbers are in half precision: on a device that has none these are emulated.
#[test]
fn products_by_matrix_units() {
    let emulating = Gpu::open_emulating_units(0).expect("a GPU, or Debian's mesa-vulkan-drivers and libvulkan1");
    for dtype in gpu::supported_types() {
        let block = dtype.layout().block_len;
        let sizes = move |c: &mut Case| {
            let cols = if block == 1 { c.size(1, 200) } else { block * c.size(1, 3) };
            (c.size(1, 80), cols)
        };
        check_on((emulating.clone(), 2e-3), &format!("{dtype}"), |c| {
            let (rows, cols) = sizes(c);
            // Numbers that half precision could not hold.
            let size = [1.0, 1e6, 1e-6][c.size(0, 2)];
            let (x, weight) = (c.input_around(cols, 0.0, size), c.matrix(Shape::matrix(rows, cols), dtype));
            c.push(Op::Linear { weight }, &[x])
        });
        check_on((emulating.clone(), 2e-3), &format!("{dtype} with a bias and a residual"), |c| {
            let (rows, cols) = sizes(c);
            let (x, weight) = (c.input(cols), c.matrix(Shape::matrix(rows, cols), dtype));
            let (residual, bias) = (c.input(rows), c.vector(rows, 0.0));
            let product = Product { weights: vec![weight], biases: vec![Some(bias)], end: End::Add, quantize: false };
            c.push(Op::Product(product), &[residual, x])
        });
    }
}

/// A matrix of more rows than one part has, such as the heads of large vocabularies.
#[test]
fn products_of_a_matrix_in_parts() {
    let (rows, cols) = ((1 << 17) + 77, 9);
    for ends_with_add in [false, true] {
        let mut case = Case { graph: GraphBuilder::new(), weights: vec![], random: 7, rows: 3 };
        let (x, weight) = (case.input(cols), case.matrix(Shape::matrix(rows, cols), DType::F16));
        let result = match ends_with_add {
            false => case.push(Op::Linear { weight }, &[x]),
            true => {
                let (residual, bias) = (case.input(rows), case.vector(rows, 0.0));
                let biases = vec![Some(bias)];
                let product = Product { weights: vec![weight], biases, end: End::Add, quantize: false };
                case.push(Op::Product(product), &[residual, x])
            }
        };
        let result = case.push(Op::SelectOutputs, &[result]);
        let graph = std::mem::take(&mut case.graph).finish("rows", result).expect("a sound case");
        let [got, wanted] = [run(gpu(), &graph, &case, KvType::F32), run(Interpreter, &graph, &case, KvType::F32)];
        let worst = difference(&got, &wanted);
        assert!(worst <= TOLERANCE, "off by {worst} of the largest");
    }
}

#[test]
fn experts() {
    // Of few values, so that many are equal.
    let scores = |c: &mut Case, experts: usize| {
        let info = WeightInfo::matrix("s", Shape::matrix(c.rows, experts), DType::F32);
        let numbers = (0..c.rows * experts).flat_map(|_| ((4.0 * uniform(&mut c.random)).round() / 4.0).to_le_bytes());
        c.weights.push(numbers.collect());
        let table = c.graph.weight(info);
        c.push(Op::Embed { table }, &[])
    };
    for scoring in [GateScoring::SoftmaxChosen, GateScoring::SoftmaxAll, GateScoring::Kept, GateScoring::Shared] {
        check(&format!("{scoring:?}"), |c| {
            let experts = c.size(1, 70);
            let (x, k, squash) = (scores(c, experts), c.size(1, experts.min(8)), Squash::Sigmoid);
            let squashed = c.push(Op::Squash(squash), &[x]);
            let ids = c.push(Op::TopK { k }, &[x]);
            c.push(Op::GateWeights { scoring }, &[squashed, ids])
        });
    }
    check("squash", |c| {
        let experts = c.size(1, 70);
        let x = scores(c, experts);
        c.push(Op::Squash(Squash::Softmax), &[x])
    });
    check("groups, then what experts add and are scaled by", |c| {
        let (count, each, width) = (c.size(1, 5), c.size(2, 6), c.size(1, 40));
        let (used, best) = (c.size(1, count), c.size(1, each));
        let x = scores(c, count * each);
        let kept = c.push(Op::KeepGroups(Groups { count, used, best }), &[x]);
        let k = c.size(1, used * each);
        let ids = c.push(Op::TopK { k }, &[kept]);
        let gates = c.push(Op::GateWeights { scoring: GateScoring::SoftmaxChosen }, &[x, ids]);
        let (y, bias, scale) = (c.input(k * width), c.table(count * each, width), c.vector(count * each, 1.0));
        let y = c.push(Op::ExpertBias { bias }, &[y, ids]);
        let y = c.push(Op::ExpertScale { scale }, &[y, ids]);
        c.push(Op::ExpertSum, &[y, gates])
    });
}

/// A rotation of a part of each head.
fn rope(c: &mut Case, head_dim: usize, style: RopeStyle) -> Rope {
    let pairs = c.size(0, head_dim / 2);
    let freqs: Arc<[f32]> = (0..pairs).map(|i| 1e4_f32.powf(-2.0 * i as f32 / head_dim as f32)).collect();
    Rope { head_dim, freqs, magnitude: 1.2, style }
}

#[test]
fn positions_and_caches() {
    for style in [RopeStyle::Halves, RopeStyle::Pairs] {
        check(&format!("{style:?}"), |c| {
            let (heads, head_dim) = (c.size(1, 4), c.size(2, 40));
            let (x, rope) = (c.input(heads * head_dim), rope(c, head_dim, style));
            c.push(Op::Rope(rope), &[x])
        });
        for (window, capped, with_sinks) in [(None, false, false), (Some(3), true, true)] {
            check(&format!("attention, {style:?}, window {window:?}"), |c| {
                let (kv_heads, group, head_dim) = (c.size(1, 3), c.size(1, 4), c.size(2, 70));
                let heads = kv_heads * group;
                let [q, k, v] = [heads, kv_heads, kv_heads].map(|heads| c.input(heads * head_dim));
                let layer = c.graph.memory(Memory::Kv(KvShape { heads: kv_heads, head_dim }));
                let q = match rope(c, head_dim, style) {
                    rope if group > 1 => c.push(Op::RopeKvWrite { rope, layer }, &[q, k, v]),
                    rope => {
                        let [q, k] = [q, k].map(|x| c.push(Op::Rope(rope.clone()), &[x]));
                        c.graph.kv_write(layer, k, v).expect("a sound case");
                        q
                    }
                };
                let sinks = with_sinks.then(|| c.vector(heads, 0.0));
                let softcap = capped.then_some(1.5);
                c.push(
                    Op::Attention(Attention { layer, heads, scale: 0.2, window, causal: true, softcap, sinks }),
                    &[q],
                )
            });
        }
    }
}

#[test]
fn recurrence() {
    check("convolution", |c| {
        let (channels, taps) = (c.size(1, 100), c.size(2, 6));
        let (x, weight) = (c.input(channels), c.table(channels, taps));
        let layer = c.graph.memory(Memory::Recurrent { len: (taps - 1) * channels });
        c.push(Op::CausalConv { layer, weight }, &[x])
    });
    for (order, by_row) in [(HeadOrder::Grouped, false), (HeadOrder::Tiled, true)] {
        check(&format!("gated delta, {order:?}"), |c| {
            let (key_heads, group, key_dim, value_dim) = (c.size(1, 3), c.size(1, 3), c.size(1, 9), c.size(1, 80));
            let heads = key_heads * group;
            let decays = if by_row { heads * key_dim } else { heads };
            let [q, k] = [0; 2].map(|_| c.input_around(key_heads * key_dim, 0.0, 0.4));
            let v = c.input(heads * value_dim);
            let (decay, rate) = (c.input_around(decays, -1.0, 0.8), c.input_around(heads, 0.5, 0.4));
            let layer = c.graph.memory(Memory::Recurrent { len: heads * key_dim * value_dim });
            c.push(Op::GatedDelta(GatedDelta { layer, heads, key_heads, order }), &[q, k, v, decay, rate])
        });
    }
    check("scan", |c| {
        let (groups, each, state_dim, head_dim) = (c.size(1, 3), c.size(1, 3), c.size(1, 9), c.size(1, 80));
        let heads = groups * each;
        let inputs = [heads * head_dim, groups * state_dim, groups * state_dim].map(|width| c.input(width));
        let step = c.input_around(heads, 0.5, 0.4);
        let (decay, skip) = (c.vector(heads, -1.0), c.vector(heads, 0.5));
        let layer = c.graph.memory(Memory::Recurrent { len: heads * head_dim * state_dim });
        let [x, b, read] = inputs;
        c.push(Op::Scan(Scan { layer, heads, groups, decay, skip }), &[x, b, read, step])
    });
}

/// The outputs of all rows of two sequences that are computed in these steps.
fn by_row<B: Backend>(
    backend: &B,
    (graph, case): (&Graph, &Case),
    kv_type: KvType,
    steps: &[[Range<usize>; 2]],
    mut each: impl FnMut(&B::Program),
) -> Vec<Vec<f32>> {
    let (rows, block_len) = (case.rows, 7);
    let blocks = rows.div_ceil(block_len);
    let limits =
        Limits { max_tokens: rows, max_outputs: rows, kv_blocks: 2 * blocks, block_len, kv_type, state_slots: 0 };
    let mut program = backend.compile(graph, upload(backend, graph, &case.weights), limits).expect("memory");
    let mut outputs = vec![vec![]; rows];
    for spans in steps {
        let mut batch = Batch::default();
        for sequence in (0..2).filter(|&sequence: &usize| !spans[sequence].is_empty()) {
            let tokens: Vec<u32> = spans[sequence].clone().map(|row| row as u32).collect();
            let table = (0..blocks).map(|block| (2 * block + sequence) as u32);
            batch.push(&tokens, spans[sequence].start - steps[0][sequence].start, table);
        }
        batch.outputs = (0..batch.tokens.len() as u32).collect();
        backend.run(&mut program, &batch).expect("a batch within limits");
        each(&program);
        let given = backend.download(&program).chunks(graph.output_width());
        spans.iter().cloned().flatten().zip(given).for_each(|(row, given)| outputs[row] = given.to_vec());
    }
    outputs
}

#[test]
fn attention_is_split_over_the_cache() {
    let kinds = [(None, false, false), (Some(300), true, true), (Some(3), false, true), (None, true, false)];
    for (seed, (window, capped, with_sinks)) in kinds.into_iter().enumerate() {
        let mut case = Case { graph: GraphBuilder::new(), weights: vec![], random: 99 * seed as u64 + 5, rows: 0 };
        // One sequence of several units, and one that ends with the first or shortly after it.
        let (first, second) = (case.size(520, 800), case.size(250, 262));
        case.rows = first + second;
        let (kv_heads, group, head_dim) = (case.size(1, 2), case.size(1, 3), case.size(2, 150));
        let heads = kv_heads * group;
        let [q, k, v] = [heads, kv_heads, kv_heads].map(|heads| case.input(heads * head_dim));
        let layer = case.graph.memory(Memory::Kv(KvShape { heads: kv_heads, head_dim }));
        case.graph.kv_write(layer, k, v).expect("a sound case");
        let sinks = with_sinks.then(|| case.vector(heads, 0.0));
        let softcap = capped.then_some(1.5);
        let op = Attention { layer, heads, scale: 0.3, window, causal: true, softcap, sinks };
        let result = case.push(Op::Attention(op), &[q]);
        let result = case.push(Op::SelectOutputs, &[result]);
        let graph = std::mem::take(&mut case.graph).finish("rows", result).expect("a sound case");
        // The last rows alone and together; then as parts of long batches.
        let (a, b) = (first, first + second);
        let decoded =
            [[0..a - 4, a..b - 4], [a - 4..a - 3, b - 4..b - 4], [a - 3..a - 2, b - 4..b - 3], [a - 2..a, b - 3..b]];
        let prompts = [[0..a / 3, a..a + 2], [a / 3..a, a + 2..b]];
        for kv_type in KvType::all().skip(seed).take(1) {
            let (mut calls, what) = (vec![], format!("{window:?}, {kv_type:?}"));
            let calls_of = |calls: &mut Vec<usize>, program: &Program| calls.push(program.took().dispatches);
            let alone = by_row(&gpu(), (&graph, &case), kv_type, &decoded, |program| calls_of(&mut calls, program));
            let whole = by_row(&gpu(), (&graph, &case), kv_type, &prompts, |program| calls_of(&mut calls, program));
            assert!(calls[1..4].iter().all(|&split| split == calls[0] + 1), "{what}: {calls:?}");
            assert!(calls[4..].iter().all(|&whole| whole == calls[0]), "{what}: {calls:?}");
            let wanted = by_row(&Interpreter, (&graph, &case), kv_type, &prompts, |_| {});
            for (row, (alone, whole)) in alone.iter().zip(&whole).enumerate() {
                let [alone, whole] = [alone, whole].map(|row| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
                assert!(alone == whole, "{what}, row {row}");
            }
            let worst = difference(&alone.concat(), &wanted.concat());
            assert!(worst <= TOLERANCE, "{what}: off by {worst} of the largest");
        }
    }
}
