//! What is refused, and in which words: graphs, weights, batches.

use graph::testing::{ToyConfig, ToyRecurrence, toy_model, upload};
use graph::{
    Activation, Attention, Backend, Batch, End, GateScoring, GatedDelta, Graph, GraphBuilder, GraphError, Groups,
    HeadOrder, Interpreter, KvShape, KvType, Limits, Memory, Op, Product, Rope, RopeStyle, Scan, Span, ValueId,
    WeightId, WeightInfo,
};
use tensor::{DType, Shape};

/// A graph of values: `x` 8 wide, `y` 6 wide, `ids` below 4 and 2 wide, `out` 8 wide of outputs. Layer 0 keeps 2 heads
/// of 4 and is written, layer 1 is not; layer 2 is recurrent, with states of 16 numbers.
struct Site {
    graph: GraphBuilder,
    x: ValueId,
    y: ValueId,
    ids: ValueId,
    out: ValueId,
}

impl Site {
    fn new() -> Site {
        let mut graph = GraphBuilder::new();
        let [x, y, scores] = [("x", 8), ("y", 6), ("scores", 4)].map(|(name, width)| {
            let table = weight(&mut graph, name, Shape::matrix(10, width));
            graph.push(Op::Embed { table }, &[]).unwrap()
        });
        let ids = graph.push(Op::TopK { k: 2 }, &[scores]).unwrap();
        let out = graph.push(Op::SelectOutputs, &[x]).unwrap();
        let layer = graph.kv_layer(KvShape { heads: 2, head_dim: 4 });
        graph.kv_write(layer, x, x).unwrap();
        graph.kv_layer(KvShape { heads: 2, head_dim: 4 });
        graph.memory(Memory::Recurrent { len: 16 });
        Site { graph, x, y, ids, out }
    }
}

fn weight(graph: &mut GraphBuilder, name: &str, shape: Shape) -> WeightId {
    graph.weight(WeightInfo::matrix(name, shape, DType::F32))
}

fn elements(graph: &mut GraphBuilder, name: &str, shape: Shape) -> WeightId {
    graph.weight(WeightInfo::elements(name, shape, DType::F32))
}

fn check(wanted: &str, push: impl FnOnce(&mut Site) -> Result<ValueId, GraphError>) {
    let error = push(&mut Site::new()).expect_err(wanted).to_string();
    assert_eq!(error, wanted);
}

/// As [`check`], for an operator with one weight `w` of `shape`, on the inputs that `inputs` picks.
fn check_weight(wanted: &str, shape: Shape, op: impl Fn(WeightId) -> Op, inputs: fn(&Site) -> Vec<ValueId>) {
    check(wanted, |s| {
        let [matrix, other] = [weight, elements].map(|declare| declare(&mut s.graph, "w", shape));
        let op = match op(matrix) {
            op @ (Op::Embed { .. } | Op::Linear { .. } | Op::ExpertLinear { .. } | Op::HeadLinear { .. }) => op,
            _ => op(other),
        };
        let inputs = inputs(s);
        s.graph.push(op, &inputs)
    });
}

/// As [`check`], for an operator without a weight.
fn check_plain(wanted: &str, op: Op, inputs: fn(&Site) -> Vec<ValueId>) {
    check(wanted, |s| {
        let inputs = inputs(s);
        s.graph.push(op, &inputs)
    });
}

#[test]
fn weights_that_do_not_fit() {
    let linear = |weight| Op::Linear { weight };
    let norm = |weight| Op::RmsNorm { weight, eps: 1e-5, quantize: false };
    let experts = |weight| Op::ExpertLinear { weight };
    let matrix = Shape::matrix(5, 7);
    check_weight("linear w: input is 8 wide, the weight has 7 columns", matrix, linear, |s| vec![s.x]);
    let cube = Shape { outer: 2, rows: 8, cols: 8 };
    check_weight("linear w: a matrix is needed, the weight is [2, 8, 8]", cube, linear, |s| vec![s.x]);
    check_weight("linear w: number of inputs is 2, must be 1", matrix, linear, |s| vec![s.x, s.x]);
    let words = "linear w: an input holds indices where numbers are needed";
    check_weight(words, Shape::matrix(5, 2), linear, |s| vec![s.ids]);
    check_weight("linear w: gives a value of width 0", Shape::matrix(0, 8), linear, |s| vec![s.x]);
    let words = "add_bias w: input is 8 wide, the bias has 7 elements";
    check_weight(words, Shape::vector(7), |bias| Op::AddBias { bias }, |s| vec![s.x]);
    let words = "add_bias w: a vector is needed, the weight is [5, 7]";
    check_weight(words, matrix, |bias| Op::AddBias { bias }, |s| vec![s.x]);
    let words = "rms_norm w: weight of 3 elements does not divide the width 8";
    check_weight(words, Shape::vector(3), norm, |s| vec![s.x]);
    let words = "rms_norm w: weight of 0 elements does not divide the width 8";
    check_weight(words, Shape::vector(0), norm, |s| vec![s.x]);
    let shape = |outer, rows, cols| Shape { outer, rows, cols };
    let words = "expert_linear w: ids reach 4, the weight has 3 experts";
    check_weight(words, shape(3, 5, 8), experts, |s| vec![s.x, s.ids]);
    let words = "expert_linear w: input is 8 wide, the experts need 5 (all slots the same) or 10";
    check_weight(words, shape(4, 5, 5), experts, |s| vec![s.x, s.ids]);
    let words = "expert_linear w: input and ids do not have the same rows";
    check_weight(words, shape(4, 5, 8), experts, |s| vec![s.out, s.ids]);
    let words = "expert_linear w: an input holds numbers where indices are needed";
    check_weight(words, shape(4, 5, 8), experts, |s| vec![s.x, s.x]);
    let words = format!("expert_linear w: the slots' rows overflow: 2 times {}", usize::MAX);
    check_weight(&words, shape(4, usize::MAX, 8), experts, |s| vec![s.x, s.ids]);
    let words = "expert_bias w: input is 8 wide, 2 slots of 3 need 6";
    check_weight(words, Shape::matrix(4, 3), |bias| Op::ExpertBias { bias }, |s| vec![s.x, s.ids]);
}

#[test]
fn values_that_do_not_fit() {
    check_plain("add: inputs differ: [tokens, 8] and [tokens, 6]", Op::Add, |s| vec![s.x, s.y]);
    check_plain("add: inputs differ: [tokens, 8] and [outputs, 8]", Op::Add, |s| vec![s.x, s.out]);
    check_plain("glu: number of inputs is 1, must be 2", Op::Glu { act: Activation::Silu }, |s| vec![s.x]);
    check_plain("scale: factor NaN is not finite", Op::Scale { by: f32::NAN }, |s| vec![s.x]);
    check_plain("soft_cap: cap 0 is not a positive number", Op::SoftCap { cap: 0.0 }, |s| vec![s.x]);
    check_plain("select_outputs: the outputs are already selected", Op::SelectOutputs, |s| vec![s.out]);
    check_plain("top_k: cannot choose 9 of 8 experts", Op::TopK { k: 9 }, |s| vec![s.x]);
    check_plain("top_k: cannot choose 0 of 8 experts", Op::TopK { k: 0 }, |s| vec![s.x]);
    check_plain("expert_sum: 6 slots do not divide the width 8", Op::ExpertSum, |s| vec![s.x, s.y]);
    let words = "gate_weights: scores and ids do not have the same rows";
    check_plain(words, Op::GateWeights { scoring: GateScoring::SoftmaxAll }, |s| vec![s.out, s.ids]);
    let rope = |head_dim, pairs: usize| {
        let freqs = vec![1.0; pairs].into();
        Op::Rope(Rope { head_dim, freqs, magnitude: 1.0, style: RopeStyle::Pairs })
    };
    check_plain("rope: heads of 3 do not divide the width 8", rope(3, 1), |s| vec![s.x]);
    check_plain("rope: heads of 0 do not divide the width 8", rope(0, 0), |s| vec![s.x]);
    check_plain("rope: 3 frequencies rotate 6 of 4 elements", rope(4, 3), |s| vec![s.x]);
    let freqs = [1.0, f32::NAN].into();
    let nan = Op::Rope(Rope { head_dim: 4, freqs, magnitude: 1.0, style: RopeStyle::Pairs });
    check_plain("rope: a frequency is not finite", nan, |s| vec![s.x]);
    check_plain("rope: only rows of tokens have positions", rope(4, 2), |s| vec![s.out]);
    check("scale: an input is not a value of this graph", |s| GraphBuilder::new().push(Op::Scale { by: 1.0 }, &[s.x]));
}

/// As [`check`], for a product of weights `w` of 32 columns and these rows, each with its type and the elements of its
/// bias, on a value of `width`.
fn check_product(wanted: &str, width: usize, end: End, quantize: bool, of: &[(usize, DType, Option<usize>)]) {
    check(wanted, |s| {
        let table = weight(&mut s.graph, "table", Shape::matrix(9, width));
        let x = s.graph.push(Op::Embed { table }, &[])?;
        let matrix = |&(rows, dtype, _): &(usize, DType, Option<usize>)| {
            s.graph.weight(WeightInfo::matrix("w", Shape::matrix(rows, 32), dtype))
        };
        let weights = of.iter().map(matrix).collect();
        let bias = |of: &(usize, DType, Option<usize>)| of.2.map(|len| elements(&mut s.graph, "b", Shape::vector(len)));
        let biases = of.iter().map(bias).collect();
        let inputs = if end == End::Add { vec![s.x, x] } else { vec![x] };
        s.graph.push(Op::Product(Product { weights, biases, end, quantize }), &inputs)
    });
}

#[test]
fn products_that_do_not_fit() {
    let (float, int, glu) = (DType::F16, DType::Q8_0, End::Glu(Activation::Silu));
    let plain = (64, float, None);
    let words = "product w: input is 31 wide, the weight has 32 columns";
    check_product(words, 31, End::Store, false, &[plain]);
    let words = "product w: input is 64 wide, the bias has 63 elements";
    check_product(words, 32, End::Store, false, &[(64, float, Some(63))]);
    let words = "product w: some weights are quantized, some are not";
    check_product(words, 32, End::Store, false, &[plain, (64, int, None)]);
    let words = "product w: inputs differ: [tokens, 8] and [tokens, 64]";
    check_product(words, 32, End::Add, false, &[plain]);
    let words = "product w: inputs differ: [tokens, 64] and [tokens, 32]";
    check_product(words, 32, glu, false, &[plain, (32, float, None)]);
    check_product("product w: its end does not take 1 weights", 32, glu, false, &[plain]);
    check_product("product w: its end does not take 2 weights", 32, End::Add, false, &[plain, plain]);
    check_product("product: its end does not take 0 weights", 32, End::Store, false, &[]);
    check_product("product w: several values cannot be quantized", 32, End::Store, true, &[plain, plain]);
    let words = "product w: a width of 8 is not whole blocks of 32";
    check_product(words, 32, End::Store, true, &[(8, float, None)]);
    let words = "product w: gives several values; append it with GraphBuilder::push_all";
    check_product(words, 32, End::Store, false, &[plain, plain]);
    let op = |end| Op::Product(Product { weights: vec![], biases: vec![None], end, quantize: false });
    check_plain("product: number of inputs is 1, must be 2", op(End::Add), |s| vec![s.x]);
    check_plain("product: number of inputs is 2, must be 1", op(End::Store), |s| vec![s.x, s.x]);
    check_plain("product: 0 weights and 1 biases", op(End::Store), |s| vec![s.x]);
}

#[test]
fn rounded_values_that_do_not_fit() {
    let check_rounded = |wanted: &str, push: fn(&mut Site, ValueId) -> Result<ValueId, GraphError>| {
        check(wanted, |s| {
            let table = weight(&mut s.graph, "table", Shape::matrix(9, 32));
            let x = s.graph.push(Op::Embed { table }, &[])?;
            let rounded = s.graph.push(Op::Quantize { span: 32 }, &[x])?;
            push(s, rounded)
        });
    };
    check_rounded("add: an input is Q8 where F32 is needed", |s, x| s.graph.push(Op::Add, &[x, x]));
    let words = "select_outputs: an input is Q8; select before it is quantized";
    check_rounded(words, |s, x| s.graph.push(Op::SelectOutputs, &[x]));
    check_rounded("linear w: the input is Q8, the weight is not quantized", |s, x| {
        let weight = weight(&mut s.graph, "w", Shape::matrix(8, 32));
        s.graph.push(Op::Linear { weight }, &[x])
    });
    check_plain("quantize: a width of 8 is not whole blocks of 32", Op::Quantize { span: 32 }, |s| vec![s.x]);
    check("rms_norm w: quantizes rows of 64, the weight has 32 elements", |s| {
        let table = weight(&mut s.graph, "table", Shape::matrix(9, 64));
        let x = s.graph.push(Op::Embed { table }, &[])?;
        let weight = elements(&mut s.graph, "w", Shape::vector(32));
        s.graph.push(Op::RmsNorm { weight, eps: 0.0, quantize: true }, &[x])
    });
}

#[test]
fn attention_and_its_cache() {
    let plain = Attention { layer: 0, heads: 2, scale: 1.0, window: None, causal: true, softcap: None, sinks: None };
    let attention = |change: fn(&mut Attention)| {
        let mut op = plain.clone();
        change(&mut op);
        Op::Attention(op)
    };
    let words = "attention: layer 1 is read before it is written; append its kv_write first";
    check_plain(words, attention(|op| op.layer = 1), |s| vec![s.x]);
    let words = "attention: the memory of layer 3 is not declared in this graph";
    check_plain(words, attention(|op| op.layer = 3), |s| vec![s.x]);
    let words = "attention: 3 query heads are not a multiple of layer 0's 2 KV heads";
    check_plain(words, attention(|op| op.heads = 3), |s| vec![s.x]);
    check_plain("attention: queries are 6 wide, 2 heads of 4 need 8", attention(|_| {}), |s| vec![s.y]);
    let words = "attention: the queries do not have a row for each token";
    check_plain(words, attention(|_| {}), |s| vec![s.out]);
    check_plain("attention: a window of 0 sees nothing", attention(|op| op.window = Some(0)), |s| vec![s.x]);
    let words = "attention: softcap -1 is not a positive number";
    check_plain(words, attention(|op| op.softcap = Some(-1.0)), |s| vec![s.x]);
    let sinks = |id| Op::Attention(Attention { sinks: Some(id), ..plain.clone() });
    check_weight("attention w: 3 sinks for 2 heads", Shape::vector(3), sinks, |s| vec![s.x]);
    check_plain("attention: scale inf is not finite", attention(|op| op.scale = f32::INFINITY), |s| vec![s.x]);
    let write =
        |layer, pick: fn(&Site) -> ValueId| move |s: &mut Site| s.graph.kv_write(layer, pick(s), s.x).map(|()| s.x);
    check("kv_write: layer 0 is written twice", write(0, |s| s.x));
    check("kv_write: k is 6 wide, layer 1 keeps 8", write(1, |s| s.y));
    check("kv_write: k does not have a row for each token", write(1, |s| s.out));
    let rope = Rope { head_dim: 3, freqs: [].into(), magnitude: 1.0, style: RopeStyle::Pairs };
    let words = "rope_kv_write: heads of 3 do not divide the width 8";
    check_plain(words, Op::RopeKvWrite { rope: rope.clone(), layer: 1 }, |s| vec![s.y, s.x, s.x]);
    check_plain(words, Op::RopeKvWrite { rope: rope.clone(), layer: 1 }, |s| vec![s.x, s.y, s.x]);
    let rope = Rope { head_dim: 4, ..rope };
    let words = "rope_kv_write: layer 0 is written twice";
    check_plain(words, Op::RopeKvWrite { rope: rope.clone(), layer: 0 }, |s| vec![s.x, s.x, s.x]);
    let words = "rope_kv_write: number of inputs is 2, must be 3";
    check_plain(words, Op::RopeKvWrite { rope, layer: 1 }, |s| vec![s.x, s.x]);
    let words = "kv_write: gives no value; append it with GraphBuilder::kv_write";
    check_plain(words, Op::KvWrite { layer: 1 }, |s| vec![s.x, s.x]);
}

#[test]
fn parts_of_attention_that_do_not_fit() {
    let scores = |layer, heads, scale| Op::Scores { layer, heads, scale };
    let words = "scores: layer 1 is read before it is written; append its kv_write first";
    check_plain(words, scores(1, 2, 1.0), |s| vec![s.x]);
    check_plain("scores: the memory of layer 3 is not declared in this graph", scores(3, 2, 1.0), |s| vec![s.x]);
    let words = "scores: 3 query heads are not a multiple of layer 0's 2 KV heads";
    check_plain(words, scores(0, 3, 1.0), |s| vec![s.x]);
    check_plain("scores: queries are 6 wide, 2 heads of 4 need 8", scores(0, 2, 1.0), |s| vec![s.y]);
    check_plain("scores: the queries do not have a row for each token", scores(0, 2, 1.0), |s| vec![s.out]);
    check_plain("scores: scale NaN is not finite", scores(0, 2, f32::NAN), |s| vec![s.x]);
    check_plain("scores: number of inputs is 2, must be 1", scores(0, 2, 1.0), |s| vec![s.x, s.x]);
    let words = "softmax: an input does not hold a number for each position";
    check_plain(words, Op::Softmax { window: None, sinks: None }, |s| vec![s.x]);
    check_plain("weigh: an input does not hold a number for each position", Op::Weigh { layer: 0 }, |s| vec![s.ids]);
    // As above, for an operator on scores of two heads.
    let check_scores = |wanted: &str, op: fn(&mut Site) -> (Op, bool)| {
        check(wanted, |s| {
            let scores = s.graph.push(Op::Scores { layer: 0, heads: 2, scale: 1.0 }, &[s.x])?;
            let (op, twice) = op(s);
            s.graph.push(op, &[scores, scores][..1 + usize::from(twice)])
        });
    };
    check_scores("softmax: a window of 0 sees nothing", |_| (Op::Softmax { window: Some(0), sinks: None }, false));
    check_scores("softmax w: 3 sinks for 2 heads", |s| {
        let sinks = Some(elements(&mut s.graph, "w", Shape::vector(3)));
        (Op::Softmax { window: None, sinks }, false)
    });
    check_scores("soft_cap: cap -1 is not a positive number", |_| (Op::SoftCap { cap: -1.0 }, false));
    let words = "weigh: layer 1 is read before it is written; append its kv_write first";
    check_scores(words, |_| (Op::Weigh { layer: 1 }, false));
    check_scores("weigh: 2 query heads are not a multiple of layer 3's 3 KV heads", |s| {
        let layer = s.graph.kv_layer(KvShape { heads: 3, head_dim: 2 });
        s.graph.kv_write(layer, s.y, s.y).unwrap();
        (Op::Weigh { layer }, false)
    });
    let words = "add: an input holds numbers by position where a row's own are needed";
    check_scores(words, |_| (Op::Add, true));
    let words = "select_outputs: an input holds numbers by position, which stay with their row";
    check_scores(words, |_| (Op::SelectOutputs, false));
}

#[test]
fn ends_that_do_not_fit() {
    let check = |wanted: &str, end: fn(Site) -> Result<Graph, GraphError>| {
        assert_eq!(end(Site::new()).expect_err(wanted).to_string(), wanted);
    };
    let words = "logits: must be numbers with a row for each output; select the outputs first";
    check(words, |s| s.graph.finish("logits", s.x));
    check(words, |mut s| {
        let ids = s.graph.push(Op::SelectOutputs, &[s.ids])?;
        s.graph.finish("logits", ids)
    });
    check("weight w: [3, 33] Q8_0 is empty, too large or not whole blocks", |mut s| {
        s.graph.weight(WeightInfo::matrix("w", Shape::matrix(3, 33), DType::Q8_0));
        s.graph.finish("logits", s.out)
    });
    check("memory of layer 3: is empty or too large", |mut s| {
        s.graph.kv_layer(KvShape { heads: usize::MAX, head_dim: 2 });
        s.graph.finish("logits", s.out)
    });
    check("memory of layer 3: is empty or too large", |mut s| {
        s.graph.memory(Memory::Recurrent { len: 0 });
        s.graph.finish("logits", s.out)
    });
}

#[test]
fn recurrent_layers_that_do_not_fit() {
    fn conv(s: &mut Site, layer: usize, shape: Shape) -> Op {
        Op::CausalConv { layer, weight: elements(&mut s.graph, "w", shape) }
    }
    let check_conv = |wanted: &str, layer, (channels, width), pick: fn(&Site) -> ValueId| {
        check(wanted, |s| {
            let op = conv(s, layer, Shape::matrix(channels, width));
            s.graph.push(op, &[pick(s)])
        });
    };
    check_conv("causal_conv w: input is 6 wide, the weight has 8 rows", 2, (8, 3), |s| s.y);
    check_conv("causal_conv w: the input does not have a row for each token", 2, (8, 3), |s| s.out);
    check_conv("causal_conv w: layer 0 keeps keys and values, not a recurrent state", 0, (8, 3), |s| s.x);
    check_conv("causal_conv w: the memory of layer 3 is not declared in this graph", 3, (8, 3), |s| s.x);
    check_conv("causal_conv w: layer 2 has states of 16 numbers, 24 are needed", 2, (8, 4), |s| s.x);
    check_conv("causal_conv w: a convolution of one tap remembers nothing; multiply instead", 2, (8, 1), |s| s.x);
    check("causal_conv w: layer 2 is updated twice", |s| {
        let ops = [(); 2].map(|()| conv(s, 2, Shape::matrix(8, 3)));
        ops.into_iter().try_fold(s.x, |x, op| s.graph.push(op, &[x]))
    });
    check("kv_write: layer 2 keeps a recurrent state, not keys and values", |s| {
        s.graph.kv_write(2, s.x, s.x).map(|()| s.x)
    });
    check("causal_conv w: a weight read as Elements is needed, it is declared as Matrix", |s| {
        let weight = weight(&mut s.graph, "w", Shape::matrix(8, 3));
        s.graph.push(Op::CausalConv { layer: 2, weight }, &[s.x])
    });
    check("linear w: a weight read as Matrix is needed, it is declared as Elements", |s| {
        let weight = elements(&mut s.graph, "w", Shape::matrix(3, 8));
        s.graph.push(Op::Linear { weight }, &[s.x])
    });
}

#[test]
fn heads_that_do_not_fit() {
    // By default q, k, v are 8 wide, of 2 heads of 4, and decay and rate 2 wide: states of 32 numbers.
    let check_delta = |wanted: &str, change: fn(&Site, &mut GatedDelta, &mut [ValueId; 5])| {
        check(wanted, |s| {
            let table = weight(&mut s.graph, "two", Shape::matrix(10, 2));
            let two = s.graph.push(Op::Embed { table }, &[]).unwrap();
            let layer = s.graph.memory(Memory::Recurrent { len: 32 });
            let mut op = GatedDelta { layer, heads: 2, key_heads: 2, order: HeadOrder::Grouped };
            let mut inputs = [s.x, s.x, s.x, two, two];
            change(s, &mut op, &mut inputs);
            s.graph.push(Op::GatedDelta(op), &inputs)
        });
    };
    check_delta("gated_delta: 3 heads of keys do not divide 2 of values", |_, op, _| op.key_heads = 3);
    check_delta("gated_delta: queries are 6 wide, keys 8", |s, _, inputs| inputs[0] = s.y);
    check_delta("gated_delta: 0 heads of keys do not divide 0 of values", |_, op, _| (op.heads, op.key_heads) = (0, 0));
    check_delta("gated_delta: the rate is 8 wide, there are 2 heads", |s, _, inputs| inputs[4] = s.x);
    check_delta("gated_delta: the decay is 6 wide, 2 or 8 are needed", |s, _, inputs| inputs[3] = s.y);
    check_delta("gated_delta: v does not have a row for each token", |s, _, inputs| inputs[2] = s.out);
    check_delta("gated_delta: an input holds indices where numbers are needed", |s, _, inputs| inputs[1] = s.ids);
    check_delta("gated_delta: layer 2 has states of 16 numbers, 32 are needed", |_, op, _| op.layer = 2);
    check_plain("gated_delta: number of inputs is 1, must be 5", delta(), |s| vec![s.x]);
    // x, b and c are 8 wide, of 4 heads and 2 groups, the time step is 4 wide: states of 32 numbers.
    let check_scan = |wanted: &str, change: fn(&mut Site, &mut Scan, &mut [ValueId; 4])| {
        check(wanted, |s| {
            let table = weight(&mut s.graph, "four", Shape::matrix(10, 4));
            let four = s.graph.push(Op::Embed { table }, &[]).unwrap();
            let layer = s.graph.memory(Memory::Recurrent { len: 32 });
            let [decay, skip] = ["a", "d"].map(|name| elements(&mut s.graph, name, Shape::vector(4)));
            let mut op = Scan { layer, heads: 4, groups: 2, decay, skip };
            let mut inputs = [s.x, s.x, s.x, four];
            change(s, &mut op, &mut inputs);
            s.graph.push(Op::Scan(op), &inputs)
        });
    };
    check_scan("scan a: 3 groups do not divide 4 heads", |_, op, _| op.groups = 3);
    check_scan("scan a: 4 heads do not divide x of 6", |s, _, inputs| inputs[0] = s.y);
    check_scan("scan a: b is 8 wide, c 6", |s, _, inputs| inputs[2] = s.y);
    check_scan("scan a: the time step is 8 wide, there are 4 heads", |s, _, inputs| inputs[3] = s.x);
    check_scan("scan two: 2 decays for 4 heads", |s, op, _| {
        op.decay = elements(&mut s.graph, "two", Shape::vector(2));
    });
    check_scan("scan a: layer 2 has states of 16 numbers, 32 are needed", |_, op, _| op.layer = 2);
}

#[test]
fn factors_that_do_not_fit() {
    check_plain("mul: 8 factors do not divide the width 6", Op::Mul, |s| vec![s.y, s.x]);
    check_plain("mul: the inputs do not have the same rows", Op::Mul, |s| vec![s.x, s.out]);
    check_plain("unit_norm: spans of 3 elements do not divide the width 8", Op::UnitNorm { span: 3, eps: 0.0 }, |s| {
        vec![s.x]
    });
    check_plain("unit_norm: eps -1 is not a number of at least 0", Op::UnitNorm { span: 2, eps: -1.0 }, |s| vec![s.x]);
    check_plain("gaussian_top_k: inf deviations are not finite", Op::GaussianTopK { deviations: f32::INFINITY }, |s| {
        vec![s.x]
    });
}

fn delta() -> Op {
    Op::GatedDelta(GatedDelta { layer: 2, heads: 2, key_heads: 2, order: HeadOrder::Tiled })
}

const LIMITS: Limits =
    Limits { max_tokens: 8, max_outputs: 2, kv_blocks: 4, block_len: 4, kv_type: KvType::F32, state_slots: 3 };

#[test]
fn parts_of_rows_that_do_not_fit() {
    let slice = |span, first, width| Op::Slice { span, first, width };
    check_plain("slice: spans of 3 do not divide the width 8", slice(3, 0, 1), |s| vec![s.x]);
    check_plain("slice: 3 columns from 2 on are not in a span of 4", slice(4, 2, 3), |s| vec![s.x]);
    check_plain("slice: 0 columns from 2 on are not in a span of 4", slice(4, 2, 0), |s| vec![s.x]);
    check_plain("concat: a width of 6 is not 4 equal parts", Op::Concat { parts: 4 }, |s| vec![s.x, s.y]);
    check_plain("concat: inputs do not have the same rows", Op::Concat { parts: 1 }, |s| vec![s.x, s.out]);
    let keep = |count, used, best| Op::KeepGroups(Groups { count, used, best });
    check_plain("keep_groups: a width of 8 is not 3 equal parts", keep(3, 1, 1), |s| vec![s.x]);
    check_plain("keep_groups: cannot keep 5 of 4 groups", keep(4, 5, 1), |s| vec![s.x]);
    check_plain("keep_groups: cannot add up 3 of 2 experts", keep(4, 1, 3), |s| vec![s.x]);
    let norm = |weight| Op::LayerNorm { weight, bias: None, span: 4, eps: 0.0 };
    check_weight("layer_norm w: spans of 4 do not divide the weight's 6 elements", Shape::vector(6), norm, |s| {
        vec![s.x]
    });
    check_weight("layer_norm w: spans of 4 do not divide the width 6", Shape::vector(4), norm, |s| vec![s.y]);
    let heads = |weight| Op::HeadLinear { weight };
    let words = "head_linear w: input is 8 wide, 2 heads of 3 columns need 6";
    check_weight(words, Shape { outer: 2, rows: 5, cols: 3 }, heads, |s| vec![s.x]);
    let words = "expert_scale w: ids reach 4, the weight has 3 experts";
    check_weight(words, Shape::vector(3), |scale| Op::ExpertScale { scale }, |s| vec![s.x, s.ids]);
}

#[test]
fn batches() {
    let (graph, _) = toy_model(&ToyConfig::default());
    let check = |wanted: &str, change: fn(&mut Batch)| check_batch(&graph, wanted, change);
    check("fine", |_| {});
    check("fine", Batch::clear);
    check("9 rows, the limit is 8", |b| {
        b.push(&[0; 5], 0, [2, 2]);
    });
    check("3 outputs, the limit is 2", |b| b.outputs.insert(0, 0));
    check("token 67 of a vocabulary of 67", |b| b.tokens[1] = 67);
    check("outputs are not ascending", |b| b.outputs = vec![3, 3]);
    check("output past the last of 4 rows", |b| b.outputs = vec![1, 4]);
    check("span of rows 3..4 does not go on from row 2", |b| b.spans[0].rows = 0..2);
    check("span of rows 4..4 does not go on from row 4", |b| {
        b.push(&[], 0, []);
    });
    check("spans cover 3 of 4 rows", |b| {
        b.spans.pop();
    });
    check("spans cover 5 of 4 rows", |b| b.spans.push(Span { rows: 4..5, position: 0, table: 0..1, state: None }));
    check("block table 2..4 of 3 blocks", |b| b.spans[1].table = 2..4);
    check("3 rows at position 6 do not fit the 8 positions of their blocks", |b| b.spans[0].position = 6);
    check("2 rows at position 16 do not fit the 16 positions of their blocks", |b| {
        b.push(&[5, 6], 16, [0, 1, 2, 3, 0]);
    });
    let words = format!("3 rows at position {} do not fit the 8 positions of their blocks", usize::MAX);
    check(&words, |b| b.spans[0].position = usize::MAX);
    check("block 4 of 4", |b| b.blocks[1] = 4);
    check("block 9 of 4", |b| b.copies.push((0, 9)));
    check("state slot 3 of 3", |b| b.spans[0].state = Some(3));
    check("state slot 7 of 3", |b| b.state_copies.push((7, 0)));
    let (graph, _) = toy_model(&ToyConfig { recurrent: Some(ToyRecurrence::Conv(3)), ..ToyConfig::default() });
    let check = |wanted: &str, slots: [Option<u32>; 2]| {
        check_batch(&graph, wanted, |b| b.spans.iter_mut().zip(slots).for_each(|(span, slot)| span.state = slot));
    };
    check("fine", [Some(2), Some(0)]);
    check("a span has no state slot, and the model has recurrent layers", [Some(2), None]);
    check("state slot 1 is in two spans", [Some(1), Some(1)]);
}

/// As [`check`], for a batch of two spans, changed.
fn check_batch(graph: &Graph, wanted: &str, change: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::default();
    batch.push(&[1, 2, 3], 2, [0, 1]);
    batch.push(&[4], 0, [3]);
    batch.outputs.extend([2, 3]);
    change(&mut batch);
    let given = batch.check(&LIMITS, graph).map_or_else(|e| e.to_string(), |()| "fine".into());
    assert_eq!(given.trim_start_matches("batch refused: "), wanted);
}

#[test]
fn weights_and_memory() {
    let (graph, bytes) = toy_model(&ToyConfig::default());
    let error = Interpreter.upload(&graph.weights()[0], &bytes[0][1..]).unwrap_err().to_string();
    assert_eq!(error, "weight token_embd.weight: 17151 bytes where 17152 are needed");
    let error = Interpreter.compile(&graph, vec![], LIMITS).unwrap_err().to_string();
    assert_eq!(error, "weight token_embd.weight: 0 bytes where 17152 are needed");
    let weights = upload(&Interpreter, &graph, &bytes);
    let error = Interpreter.compile(&graph, weights, Limits { kv_blocks: usize::MAX, ..LIMITS }).unwrap_err();
    assert!(error.to_string().starts_with("no memory for the KV cache"), "{error}");
}
