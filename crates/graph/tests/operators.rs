//! Every operator of the reference interpreter against numbers worked out by hand.

mod bench;

use bench::{Bench, check, run};
use graph::{
    Activation, Attention, Elem, End, GateScoring, Groups, Growth, KvShape, Op, Product, Rope, RopeStyle, Squash,
};
use graph::{ValueId, WeightInfo};
use tensor::{DType, Shape};

const LN3: f32 = 1.098_612_3;

#[test]
fn rowwise() {
    check("embed", 2, |b| b.input(2, &[1.0, 2.0, 3.0, 4.0]), [1.0, 2.0, 3.0, 4.0]);
    let linear = |b: &mut Bench| {
        let x = b.input(2, &[1.0, 2.0, 3.0, 4.0]);
        let weight = b.weight(Shape::matrix(3, 2), &[1.0, 0.0, 0.0, 1.0, 2.0, -1.0]);
        b.push(Op::Linear { weight }, &[x])
    };
    check("linear", 2, linear, [1.0, 2.0, 0.0, 3.0, 4.0, 2.0]);
    let add_bias = |b: &mut Bench| {
        let (x, bias) = (b.input(2, &[1.0, 2.0, 3.0, 4.0]), b.vector(&[10.0, 20.0]));
        b.push(Op::AddBias { bias }, &[x])
    };
    check("add_bias", 2, add_bias, [11.0, 22.0, 13.0, 24.0]);
    let add = |b: &mut Bench| {
        let inputs = [b.input(2, &[1.0, 2.0]), b.input(2, &[3.0, 5.0])];
        b.push(Op::Add, &inputs)
    };
    check("add", 1, add, [4.0, 7.0]);
    let mul = |b: &mut Bench| {
        let inputs = [b.input(2, &[1.0, 2.0]), b.input(2, &[3.0, 5.0])];
        b.push(Op::Mul, &inputs)
    };
    check("mul", 1, mul, [3.0, 10.0]);
    let by_span = |b: &mut Bench| {
        let inputs = [b.input(4, &[1.0, 2.0, 3.0, 4.0]), b.input(2, &[10.0, -1.0])];
        b.push(Op::Mul, &inputs)
    };
    check("mul by spans", 1, by_span, [10.0, 20.0, -3.0, -4.0]);
    let scale = |b: &mut Bench| {
        let x = b.input(2, &[1.0, -2.0]);
        b.push(Op::Scale { by: 1.5 }, &[x])
    };
    check("scale", 1, scale, [1.5, -3.0]);
    let soft_cap = |b: &mut Bench| {
        // tanh(ln 3) = 0.8.
        let x = b.input(2, &[10.0 * LN3, -10.0 * LN3]);
        b.push(Op::SoftCap { cap: 10.0 }, &[x])
    };
    check("soft_cap", 1, soft_cap, [8.0, -8.0]);
}

#[test]
fn rms_norm() {
    let norm = |len: usize, eps: f32| {
        move |b: &mut Bench| {
            let x = b.input(4, &[3.0, 3.0, 4.0, -4.0]);
            let weight = b.vector(&[1.0, 2.0, 3.0, 4.0][..len]);
            b.push(Op::RmsNorm { weight, eps, quantize: false }, &[x])
        }
    };
    // Mean square (9 + 9 + 16 + 16) / 4 = 12.5, with eps 12.5 the root is 5.
    check("the whole row", 1, norm(4, 12.5), [0.6, 1.2, 2.4, -3.2]);
    check("by spans of 2", 1, norm(2, 0.0), [1.0, 2.0, 1.0, -2.0]);
    let unit = |span: usize, eps: f32| {
        move |b: &mut Bench| {
            let x = b.input(4, &[3.0, 3.0, 4.0, -4.0]);
            b.push(Op::UnitNorm { span, eps }, &[x])
        }
    };
    check("without a weight", 1, unit(4, 12.5), [0.6, 0.6, 0.8, -0.8]);
    check("without a weight, by spans", 1, unit(2, 0.0), [1.0, 1.0, 1.0, -1.0]);
}

#[test]
fn glu() {
    let glu = |act| {
        move |b: &mut Bench| {
            let inputs = [b.input(3, &[LN3, -1.0, 8.0]), b.input(3, &[4.0, 2.0, -9.0])];
            b.push(Op::Glu { act }, &inputs)
        }
    };
    // sigmoid(ln 3) = 3/4; sigmoid(-1) and the two GELUs at -1 are from tables.
    check("silu", 1, glu(Activation::Silu), [3.0 * LN3, -2.0 * 0.268_941_4, -72.0 * 0.999_664_6]);
    check("gelu_erf", 1, glu(Activation::GeluErf), [4.0 * LN3 * 0.864_031_7, -2.0 * 0.158_655_25, -72.0]);
    check("gelu_tanh", 1, glu(Activation::GeluTanh), [3.796_198_3, -2.0 * 0.158_808, -72.0]);
    // Gates ln 3, -1, 7 (clamped); ups 4, 2, -7 (clamped), plus one.
    let clamped = Activation::ClampedSilu { alpha: 1.0, limit: 7.0 };
    check("clamped_silu", 1, glu(clamped), [3.75 * LN3, -3.0 * 0.268_941_4, -42.0 * 0.999_089]);
}

#[test]
fn layer_norm() {
    let norm = |len: usize, bias: bool, span: usize| {
        move |b: &mut Bench| {
            let x = b.input(4, &[1.0, 5.0, -2.0, -4.0]);
            let weight = b.vector(&[1.0, 2.0, 3.0, 4.0][..len]);
            let bias = bias.then(|| b.vector(&[10.0, 20.0, 30.0, 40.0][..len]));
            b.push(Op::LayerNorm { weight, bias, span, eps: 0.0 }, &[x])
        }
    };
    let root = 11.5f32.sqrt();
    check("the whole row", 1, norm(4, false, 4), [1.0 / root, 10.0 / root, -6.0 / root, -16.0 / root]);
    check("by spans of 2, the same elements", 1, norm(2, true, 2), [9.0, 22.0, 11.0, 18.0]);
    check("by spans of 2, elements of their own", 1, norm(4, true, 2), [9.0, 22.0, 33.0, 36.0]);
}

#[test]
fn gaussian_top_k() {
    // Means 5 and -1, deviations 4 and 0.
    let beyond = |deviations: f32| {
        move |b: &mut Bench| {
            let x = b.input(4, &[1.0, 9.0, 9.0, 1.0, -1.0, -1.0, -1.0, -1.0]);
            b.push(Op::GaussianTopK { deviations }, &[x])
        }
    };
    check("half a deviation", 2, beyond(0.5), [0.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    check("below the mean", 2, beyond(-2.0), [4.0, 12.0, 12.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn parts_of_rows() {
    let scale_by = |weight: &'static [f32]| {
        move |b: &mut Bench| {
            let (x, weight) = (b.input(4, &[1.0, 2.0, 3.0, 4.0]), b.vector(weight));
            b.push(Op::ScaleBy { weight }, &[x])
        }
    };
    check("scale_by one", 1, scale_by(&[2.0]), [2.0, 4.0, 6.0, 8.0]);
    check("scale_by a span", 1, scale_by(&[2.0, -1.0]), [2.0, -2.0, 6.0, -4.0]);
    let slice = |b: &mut Bench| {
        let x = b.input(6, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
        b.push(Op::Slice { span: 3, first: 1, width: 2 }, &[x])
    };
    check("slice", 2, slice, [2.0, 3.0, 5.0, 6.0, 8.0, 9.0, 11.0, 12.0]);
    let concat = |b: &mut Bench| {
        let inputs = [b.input(4, &[1.0, 2.0, 3.0, 4.0]), b.input(2, &[5.0, 6.0])];
        b.push(Op::Concat { parts: 2 }, &inputs)
    };
    check("concat", 1, concat, [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
    let head_linear = |b: &mut Bench| {
        let x = b.input(4, &[1.0, 2.0, 3.0, 4.0, 0.0, 1.0, 1.0, 0.0]);
        let weight = b.weight(Shape { outer: 2, rows: 1, cols: 2 }, &[1.0, 10.0, 100.0, 1000.0]);
        b.push(Op::HeadLinear { weight }, &[x])
    };
    check("head_linear", 2, head_linear, [21.0, 4300.0, 10.0, 100.0]);
}

#[test]
fn groups_of_experts() {
    let kept = |used, best| {
        move |b: &mut Bench| {
            let scores = b.input(6, &[5.0, -9.0, 3.0, 3.0, 4.0, 2.0]);
            let groups = b.push(Op::KeepGroups(Groups { count: 3, used, best }), &[scores]);
            let ids = b.top_k(2, groups);
            let scales = b.vector(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
            let ones = b.input(2, &[1.0, 1.0]);
            b.push(Op::ExpertScale { scale: scales }, &[ones, ids])
        }
    };
    check("by the best", 1, kept(2, 1), [0.0, 4.0]);
    check("by the sum, of equals the first", 1, kept(1, 2), [2.0, 3.0]);
    check("all", 1, kept(3, 2), [0.0, 4.0]);
}

#[test]
fn activate() {
    let activate = |act| {
        move |b: &mut Bench| {
            let x = b.input(4, &[LN3, -1.0, 8.0, 100.0]);
            b.push(Op::Activate { act }, &[x])
        }
    };
    // As gates in `glu`; ln(1 + 3) = ln 4; ln(1 + 1/e) and ln(1 + e^8) are from tables.
    check("silu", 1, activate(Activation::Silu), [0.75 * LN3, -0.268_941_4, 8.0 * 0.999_664_6, 100.0]);
    check("sigmoid", 1, activate(Activation::Sigmoid), [0.75, 0.268_941_4, 0.999_664_6, 1.0]);
    check("squared_relu", 1, activate(Activation::SquaredRelu), [LN3 * LN3, 0.0, 64.0, 1e4]);
    check("softplus", 1, activate(Activation::Softplus), [1.386_294_4, 0.313_261_7, 8.000_335, 100.0]);
    check("relu", 1, activate(Activation::Relu), [LN3, 0.0, 8.0, 100.0]);
    // 2 x² + x/2 above 0; at -1, 3 (1/e − 1 + 1) − 1/2.
    let xielu = Activation::Xielu { square: 2.0, exponential: 3.0, linear: 0.5 };
    check("xielu", 1, activate(xielu), [2.0 * LN3 * LN3 + 0.5 * LN3, 0.603_638_3, 132.0, 20_050.0]);
    check("gelu_erf", 1, activate(Activation::GeluErf), [LN3 * 0.864_031_7, -0.158_655_25, 8.0, 100.0]);
}

#[test]
fn rope() {
    let quarter = std::f32::consts::FRAC_PI_2;
    let rope = |style, freqs: &[f32], magnitude| {
        let op = Rope { head_dim: 4, freqs: freqs.into(), magnitude, style };
        move |b: &mut Bench| {
            let x = b.input(4, &[1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
            b.push(Op::Rope(op), &[x])
        }
    };
    // Position 0 stays; at position 1 the first pair turns by a quarter, the second by a half.
    let halves = rope(RopeStyle::Halves, &[quarter, 2.0 * quarter], 1.0);
    check("halves", 2, halves, [1.0, 2.0, 3.0, 4.0, -3.0, -2.0, 1.0, -4.0]);
    let pairs = rope(RopeStyle::Pairs, &[quarter, 2.0 * quarter], 1.0);
    check("pairs", 2, pairs, [1.0, 2.0, 3.0, 4.0, -2.0, 1.0, -3.0, -4.0]);
    let partial = rope(RopeStyle::Halves, &[quarter], 2.0);
    check("half of the head, doubled", 2, partial, [2.0, 4.0, 3.0, 4.0, -4.0, 2.0, 3.0, 4.0]);
}

#[test]
fn quantize() {
    let mut row: Vec<f32> = vec![0.0; 96];
    // Block 0: scale 1; of halves the even one. Block 1: scale 1/4. Block 2: all zeros.
    row[..6].copy_from_slice(&[127.0, 0.5, 1.5, -2.5, 0.4, -126.6]);
    row[32..35].copy_from_slice(&[-31.75, 0.2, 0.3]);
    let mut wanted = [0.0; 96];
    wanted[..6].copy_from_slice(&[127.0, 0.0, 2.0, -2.0, 0.0, -127.0]);
    wanted[32..35].copy_from_slice(&[-31.75, 0.25, 0.25]);
    // A product with the unit matrix shows the numbers that a rounded row stands for.
    let unit: Vec<f32> = (0..96 * 96).map(|i| if i % 97 == 0 { 1.0 } else { 0.0 }).collect();
    let shown = |b: &mut Bench, x| {
        let mut bytes = vec![0; 96 * 3 * 18];
        tensor::encode(DType::Q4_0, &unit, &mut bytes).unwrap();
        b.weights.push(bytes);
        let info = WeightInfo::matrix("unit", Shape::matrix(96, 96), DType::Q4_0);
        let weight = b.graph.weight(info);
        b.push(Op::Linear { weight }, &[x])
    };
    let plain = |b: &mut Bench| {
        let x = b.input(96, &row);
        let x = b.push(Op::Quantize { span: Elem::Q8_BLOCK }, &[x]);
        shown(b, x)
    };
    check("quantize", 1, plain, wanted);
    // Columns of a row are rounded alike: the scale is 1, and of halves the even one is taken.
    let whole = |b: &mut Bench| {
        let x = b.input(96, &row);
        let x = b.push(Op::Quantize { span: 96 }, &[x]);
        let mut bytes = vec![0; 96 * 100];
        tensor::encode(DType::Q8_ROW, &unit, &mut bytes).unwrap();
        b.weights.push(bytes);
        let weight = b.graph.weight(WeightInfo::matrix("unit", Shape::matrix(96, 96), DType::Q8_ROW));
        b.push(Op::Linear { weight }, &[x])
    };
    let mut wanted_whole = wanted;
    wanted_whole[32..35].copy_from_slice(&[-32.0, 0.0, 0.0]);
    check("quantize by rows", 1, whole, wanted_whole);
    let norm = |b: &mut Bench| {
        let x = b.input(96, &[2.0; 96]);
        let weight = b.vector(&row);
        let x = b.push(Op::RmsNorm { weight, eps: 0.0, quantize: true }, &[x]);
        shown(b, x)
    };
    check("a norm, quantized", 1, norm, wanted);
    let product = |b: &mut Bench| {
        let x = b.input(1, &[1.0]);
        let weights = vec![b.weight(Shape::matrix(96, 1), &row)];
        let op = Product { weights, biases: vec![None], end: End::Store, quantize: true };
        let x = b.push(Op::Product(op), &[x]);
        shown(b, x)
    };
    check("a product, quantized", 1, product, wanted);
}

#[test]
fn products() {
    // Two rows of x; the sums are 1·x0 + 2·x1 + 10 and 3·x0, twice.
    let product = |end, inputs: fn(&mut Bench) -> Vec<ValueId>, pick: usize| {
        move |b: &mut Bench| {
            let mut inputs = inputs(b);
            inputs.push(b.input(2, &[1.0, 2.0, LN3, 0.0]));
            let (first, bias) = (b.weight(Shape::matrix(2, 2), &[1.0, 2.0, 3.0, 0.0]), b.vector(&[10.0, 0.0]));
            let second = b.weight(Shape::matrix(2, 2), &[0.0, 1.0, 1.0, 1.0]);
            let count = if end == End::Add { 1 } else { 2 };
            let (weights, biases) = (vec![first, second], vec![Some(bias), None]);
            let op = Product { weights: weights[..count].into(), biases: biases[..count].into(), end, quantize: false };
            b.graph.push_all(Op::Product(op), &inputs).unwrap()[pick]
        }
    };
    check("first of two", 2, product(End::Store, |_| vec![], 0), [15.0, 3.0, 10.0 + LN3, 3.0 * LN3]);
    check("second of two", 2, product(End::Store, |_| vec![], 1), [2.0, 3.0, 0.0, LN3]);
    let residual = |b: &mut Bench| vec![b.input(2, &[100.0, 200.0, 300.0, 400.0])];
    check("added", 2, product(End::Add, residual, 0), [115.0, 203.0, 310.0 + LN3, 400.0 + 3.0 * LN3]);
    // sigmoid(15) and sigmoid(3) are from tables, sigmoid(3 ln 3) = 27/28.
    let wanted = [30.0 * 0.999_999_7, 9.0 * 0.952_574_1, 0.0, 3.0 * LN3 * LN3 * 27.0 / 28.0];
    check("gated", 2, product(End::Glu(Activation::Silu), |_| vec![], 0), wanted);
}

/// One head of width 1 over two positions: scores 0 and `k1`, values 4 and 8.
fn attention(k1: f32, change: impl FnOnce(&mut Bench, &mut Attention)) -> impl FnOnce(&mut Bench) -> ValueId {
    attend(k1, |b, mut op, q| {
        change(b, &mut op);
        b.push(Op::Attention(op), &[q])
    })
}

/// As [`attention`], of a head of 1, by whatever operators.
fn attend(k1: f32, ops: impl FnOnce(&mut Bench, Attention, ValueId) -> ValueId) -> impl FnOnce(&mut Bench) -> ValueId {
    move |b| {
        let [q, k, v] = [[1.0, 1.0], [0.0, k1], [4.0, 8.0]].map(|rows| b.input(1, &rows));
        let layer = b.graph.kv_layer(KvShape { heads: 1, head_dim: 1 });
        b.graph.kv_write(layer, k, v).unwrap();
        ops(b, Attention { layer, heads: 1, scale: 1.0, window: None, causal: true, softcap: None, sinks: None }, q)
    }
}

#[test]
fn attention_of_one_head() {
    // e^0 : e^ln 3 = 1/4 : 3/4.
    check("plain", 2, attention(LN3, |_, _| {}), [4.0, 7.0]);
    check("scaled", 2, attention(2.0 * LN3, |_, op| op.scale = 0.5), [4.0, 7.0]);
    check("window of one", 2, attention(LN3, |_, op| op.window = Some(1)), [4.0, 8.0]);
    check("window of two", 2, attention(LN3, |_, op| op.window = Some(2)), [4.0, 7.0]);
    check("both ways", 2, attention(LN3, |_, op| op.causal = false), [7.0, 7.0]);
    let near = |_: &mut Bench, op: &mut Attention| (op.causal, op.window) = (false, Some(1));
    check("both ways, window of one", 2, attention(LN3, near), [4.0, 8.0]);
    // atanh(1/2) = ln 3 / 2, so the score (ln 3)^2 capped at 2 ln 3 is ln 3.
    check("softcap", 2, attention(LN3 * LN3, |_, op| op.softcap = Some(2.0 * LN3)), [4.0, 7.0]);
    // A sink of ln 4 takes 4/5 of the first row and 4/8 of the second.
    let sink = |b: &mut Bench, op: &mut Attention| op.sinks = Some(b.vector(&[4_f32.ln()]));
    check("sink", 2, attention(LN3, sink), [0.8, 3.5]);
    check("far from overflow", 2, attention(1e4, |_, _| {}), [4.0, 8.0]);
}

#[test]
fn parts_of_attention() {
    // Scores as they are show themselves as the sum of values: of 0 and k1 over 4 and 8.
    let scores = |scale, cap: Option<f32>| {
        move |b: &mut Bench, Attention { layer, heads, .. }: Attention, q| {
            let scores = b.push(Op::Scores { layer, heads, scale }, &[q]);
            let scores = cap.map_or(scores, |cap| b.push(Op::SoftCap { cap }, &[scores]));
            b.push(Op::Weigh { layer }, &[scores])
        }
    };
    check("scores", 2, attend(3.0, scores(1.0, None)), [0.0, 24.0]);
    check("scores, scaled", 2, attend(3.0, scores(-0.5, None)), [0.0, -12.0]);
    check("scores, capped", 2, attend(10.0 * LN3, scores(1.0, Some(10.0))), [0.0, 64.0]);
    // As in `attention_of_one_head`; scores are 0 and ln 3, or 0 and 0 where nothing is said.
    let weights = |window, sink: Option<f32>| {
        move |b: &mut Bench, Attention { layer, heads, scale, .. }: Attention, q| {
            let sinks = sink.map(|sink| b.vector(&[sink]));
            let scores = b.push(Op::Scores { layer, heads, scale }, &[q]);
            let weights = b.push(Op::Softmax { window, sinks }, &[scores]);
            b.push(Op::Weigh { layer }, &[weights])
        }
    };
    check("softmax", 2, attend(LN3, weights(None, None)), [4.0, 7.0]);
    check("softmax, window of one", 2, attend(LN3, weights(Some(1), None)), [4.0, 8.0]);
    check("softmax, window of two", 2, attend(LN3, weights(Some(2), None)), [4.0, 7.0]);
    check("softmax, sink", 2, attend(LN3, weights(None, Some(4_f32.ln()))), [0.8, 3.5]);
    check("softmax, window and sink", 2, attend(LN3, weights(Some(1), Some(LN3))), [1.0, 4.0]);
    check("softmax, far from overflow", 2, attend(1e4, weights(None, None)), [4.0, 8.0]);
}

#[test]
fn a_hidden_value_does_not_show() {
    let mut b = Bench::default();
    let [q, k, v] = [[1.0, 1.0], [f32::NAN, 0.0], [f32::NAN, 8.0]].map(|rows| b.input(1, &rows));
    let layer = b.graph.kv_layer(KvShape { heads: 1, head_dim: 1 });
    b.graph.kv_write(layer, k, v).unwrap();
    let op = Attention { layer, heads: 1, scale: 1.0, window: Some(1), causal: true, softcap: None, sinks: None };
    let both = [b.push(Op::Attention(op.clone()), &[q]), b.graph.attention(op, q).unwrap()];
    let sum = b.push(Op::Add, &both);
    let sum = b.push(Op::SelectOutputs, &[sum]);
    let given = run(&b.graph.finish("sum", sum).unwrap(), &b.weights, 2);
    assert!(given[0].is_nan() && given[1] == 16.0, "{given:?}");
}

#[test]
fn rope_kv_write() {
    // At position 1 queries and keys turn by a quarter: q (1, 0) to (0, 1), k (ln 3, 0) to (0, ln 3); values do not.
    let rotated = |show: fn(&mut Bench, ValueId, usize) -> ValueId| {
        move |b: &mut Bench| {
            let [q, k, v] =
                [[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, LN3, 0.0], [4.0, 0.0, 8.0, 0.0]].map(|rows| b.input(2, &rows));
            let layer = b.graph.kv_layer(KvShape { heads: 1, head_dim: 2 });
            let freqs = [std::f32::consts::FRAC_PI_2].into();
            let rope = Rope { head_dim: 2, freqs, magnitude: 1.0, style: RopeStyle::Halves };
            let q = b.push(Op::RopeKvWrite { rope, layer }, &[q, k, v]);
            show(b, q, layer)
        }
    };
    check("queries", 2, rotated(|_, q, _| q), [1.0, 0.0, 0.0, 1.0]);
    let attend = |b: &mut Bench, q, layer| {
        b.push(
            Op::Attention(Attention {
                layer,
                heads: 1,
                scale: 1.0,
                window: None,
                causal: true,
                softcap: None,
                sinks: None,
            }),
            &[q],
        )
    };
    check("attention", 2, rotated(attend), [4.0, 0.0, 7.0, 0.0]);
}

#[test]
fn attention_of_grouped_heads() {
    let grouped = |b: &mut Bench| {
        let q = b.input(4, &[1.0, 1.0, 1.0, 1.0]);
        let [k, v] = [[0.0, 0.0], [5.0, 6.0]].map(|rows| b.input(2, &rows));
        let layer = b.graph.kv_layer(KvShape { heads: 2, head_dim: 1 });
        b.graph.kv_write(layer, k, v).unwrap();
        b.push(
            Op::Attention(Attention {
                layer,
                heads: 4,
                scale: 1.0,
                window: None,
                causal: true,
                softcap: None,
                sinks: None,
            }),
            &[q],
        )
    };
    check("query heads 0 and 1 read KV head 0", 1, grouped, [5.0, 5.0, 6.0, 6.0]);
}

#[test]
fn grow() {
    // Rows at positions 0, 1 and 2: the step of two positions begins at 2.
    let grow = |b: &mut Bench| {
        let x = b.input(1, &[1.0, 2.0, 3.0]);
        b.push(Op::Grow(Growth { rate: 2.0, every: 2 }), &[x])
    };
    check("grow", 3, grow, [1.0, 2.0, 3.0 + 6.0 * std::f32::consts::LN_2]);
}

#[test]
fn experts() {
    let scores = [LN3, 0.0, LN3, -50.0, 0.0, LN3, -50.0, -50.0];
    let gates = |scoring| {
        move |b: &mut Bench| {
            let scores = b.input(4, &scores);
            let ids = b.top_k(2, scores);
            b.push(Op::GateWeights { scoring }, &[scores, ids])
        }
    };
    check("softmax of the chosen", 2, gates(GateScoring::SoftmaxChosen), [0.5, 0.5, 0.75, 0.25]);
    check("as they are", 2, gates(GateScoring::Kept), [LN3, LN3, LN3, 0.0]);
    let squashed = |squash| {
        move |b: &mut Bench| {
            let x = b.input(2, &[LN3, 0.0, 0.0, 0.0]);
            b.push(Op::Squash(squash), &[x])
        }
    };
    check("sigmoid of each", 2, squashed(Squash::Sigmoid), [0.75, 0.5, 0.5, 0.5]);
    check("softmax of a row", 2, squashed(Squash::Softmax), [0.75, 0.25, 0.5, 0.5]);
    let shared = |b: &mut Bench| {
        let scores = b.input(2, &[0.5, 0.25, 0.0, 0.0]);
        let ids = b.top_k(2, scores);
        b.push(Op::GateWeights { scoring: GateScoring::Shared }, &[scores, ids])
    };
    check("shares of the chosen", 2, shared, [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
    check("softmax of all", 2, gates(GateScoring::SoftmaxAll), [3.0 / 7.0, 3.0 / 7.0, 0.75, 0.25]);
    let ids = |b: &mut Bench| {
        let (scores, zero) = (b.input(4, &scores), b.input(2, &[0.0; 4]));
        let ids = b.top_k(2, scores);
        let bias = b.elements(Shape::matrix(4, 1), &[0.0, 1.0, 2.0, 3.0]);
        b.push(Op::ExpertBias { bias }, &[zero, ids])
    };
    check("of equals the lower id; bias of each", 2, ids, [0.0, 2.0, 1.0, 0.0]);
    let linear = |width: usize, rows: &'static [f32]| {
        move |b: &mut Bench| {
            let (scores, x) = (b.input(3, &[0.0, 2.0, 1.0]), b.input(width, rows));
            let ids = b.top_k(2, scores);
            let shape = Shape { outer: 3, rows: 1, cols: 2 };
            let weight = b.weight(shape, &[9.0, 9.0, 1.0, 2.0, 3.0, 4.0]);
            b.push(Op::ExpertLinear { weight }, &[x, ids])
        }
    };
    check("experts 1 and 2, one input", 1, linear(2, &[1.0, 10.0]), [21.0, 43.0]);
    check("experts 1 and 2, an input each", 1, linear(4, &[1.0, 10.0, 2.0, 20.0]), [21.0, 86.0]);
    let sum = |b: &mut Bench| {
        let (x, weights) = (b.input(4, &[1.0, 2.0, 3.0, 4.0]), b.input(2, &[10.0, 100.0]));
        b.push(Op::ExpertSum, &[x, weights])
    };
    check("weighted sum", 1, sum, [310.0, 420.0]);
}
