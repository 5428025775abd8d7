//! Each rule alone: a graph before and after it, that both compute the same, and where it leaves a graph as it is.

use graph::testing::LAYOUT;
use graph::{
    Activation, Attention, Elem, End, Graph, GraphBuilder, KvShape, Op, Product, Rope, RopeStyle, Rows, Traffic,
    ValueId, WeightId, WeightInfo, fuse, rules, validate,
};
use tensor::{DType, Shape};

const SILU: Activation = Activation::Silu;
const SOFTMAX: Op = Op::Softmax { window: None, sinks: None };

/// A graph whose values are 32 wide.
struct Site {
    graph: GraphBuilder,
}

impl Site {
    fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.graph.push(op, inputs).unwrap()
    }

    fn matrix(&mut self, name: &str, dtype: DType) -> WeightId {
        self.graph.weight(WeightInfo::matrix(name, Shape::matrix(32, 32), dtype))
    }

    fn vector(&mut self, name: &str, len: usize) -> WeightId {
        self.graph.weight(WeightInfo::elements(name, Shape::vector(len), DType::F32))
    }

    fn linear(&mut self, name: &str, dtype: DType, x: ValueId) -> ValueId {
        let weight = self.matrix(name, dtype);
        self.op(Op::Linear { weight }, &[x])
    }

    fn linears<const N: usize>(&mut self, of: [(&str, DType); N], x: ValueId) -> [ValueId; N] {
        of.map(|(name, dtype)| self.linear(name, dtype, x))
    }

    fn bias(&mut self, x: ValueId) -> ValueId {
        let bias = self.vector("b", 32);
        self.op(Op::AddBias { bias }, &[x])
    }

    fn norm(&mut self, span: usize, x: ValueId) -> ValueId {
        let weight = self.vector("n", span);
        self.op(Op::RmsNorm { weight, eps: 0.5, quantize: false }, &[x])
    }

    fn product(&mut self, names: &[&str], end: End, inputs: &[ValueId]) -> Vec<ValueId> {
        let weights: Vec<WeightId> = names.iter().map(|name| self.matrix(name, DType::Q8_0)).collect();
        let op = Product { biases: vec![None; weights.len()], weights, end, quantize: false };
        self.graph.push_all(Op::Product(op), inputs).unwrap()
    }

    /// Attention to `k` and `v` by `q`; its heads are 16 wide.
    fn attention(&mut self, q: ValueId, k: ValueId, v: ValueId) -> ValueId {
        let layer = self.kv(k, v);
        let op = Attention { layer, heads: 2, scale: 1.0, window: None, causal: true, softcap: None, sinks: None };
        self.op(Op::Attention(op), &[q])
    }

    /// A layer of heads that are 16 wide.
    fn kv(&mut self, k: ValueId, v: ValueId) -> usize {
        let layer = self.graph.kv_layer(KvShape { heads: 2, head_dim: 16 });
        self.graph.kv_write(layer, k, v).unwrap();
        layer
    }

    /// A layer of `k` and `v`, and the scores of `q` in it.
    fn scores(&mut self, q: ValueId, k: ValueId, v: ValueId) -> (usize, ValueId) {
        let layer = self.kv(k, v);
        (layer, self.op(Op::Scores { layer, heads: 2, scale: 0.5 }, &[q]))
    }

    fn weigh(&mut self, layer: usize, weights: ValueId) -> ValueId {
        self.op(Op::Weigh { layer }, &[weights])
    }

    fn rope(&mut self, pairs: usize, x: ValueId) -> ValueId {
        let freqs = vec![0.5; pairs].into();
        self.op(Op::Rope(Rope { head_dim: 16, freqs, magnitude: 1.0, style: RopeStyle::Halves }), &[x])
    }
}

type Build = fn(&mut Site, ValueId) -> ValueId;

/// What `build` makes of an embedding, all of whose rows are then selected.
fn graph(build: Build) -> Graph {
    let mut site = Site { graph: GraphBuilder::new() };
    let table = site.graph.weight(WeightInfo::matrix("t", Shape::matrix(9, 32), DType::F32));
    let x = site.op(Op::Embed { table }, &[]);
    let result = build(&mut site, x);
    let logits =
        if site.graph.value(result).rows == Rows::Outputs { result } else { site.op(Op::SelectOutputs, &[result]) };
    site.graph.finish("logits", logits).unwrap()
}

/// The graph's lines but the embedding and a selection at the end, without the shapes of the matrices.
fn text(graph: &Graph) -> Vec<String> {
    let mut lines: Vec<String> = graph.to_string().lines().skip(1).map(|line| line.replace(" [32, 32]", "")).collect();
    lines.pop_if(|last| last.contains("select_outputs"));
    lines
}

/// Applies only `rule` to what `build` makes: compares the lines before and after, how often it fired and the results.
fn check(rule: &str, build: Build, before: &[&str], after: &[&str], times: usize) {
    let graph = graph(build);
    assert_eq!(text(&graph), before, "before {rule}");
    let others: Vec<&str> = rules().iter().map(|r| r.name).filter(|name| *name != rule).collect();
    let fused = fuse(&graph, rules(), &others).unwrap();
    assert_eq!(text(&fused.graph), after, "after {rule}");
    assert_eq!(fused.fired, [(rule, times)]);
    let (difference, rounding) =
        (validate(&graph, &fused.graph, 1).unwrap(), if rule == "quantize" { 0.02 } else { 0.0 });
    assert!(difference <= rounding, "{rule} changes the result by {difference}");
    assert_eq!(fuse(&fused.graph, rules(), &others).unwrap().fired, [(rule, 0)]);
}

/// Where the rule has nothing to do.
fn check_stays(rule: &str, build: Build) {
    let before = graph(build);
    let before: Vec<String> = text(&before);
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    check(rule, build, &before, &before, 0);
}

#[test]
fn select_early() {
    let build: Build = |s, x| {
        let a = s.linear("a", DType::F32, x);
        let x = s.op(Op::Add, &[x, a]);
        let h = s.norm(32, x);
        let y = s.linear("y", DType::F32, h);
        s.op(Op::Add, &[x, y])
    };
    let before = [
        "%1 = linear(%0) a F32 -> [tokens, 32]",
        "%2 = add(%0, %1) -> [tokens, 32]",
        "%3 = rms_norm(%2) eps 0.5 n [32] F32 -> [tokens, 32]",
        "%4 = linear(%3) y F32 -> [tokens, 32]",
        "%5 = add(%2, %4) -> [tokens, 32]",
    ];
    let after = [
        "%1 = select_outputs(%0) -> [outputs, 32]",
        "%2 = linear(%1) a F32 -> [outputs, 32]",
        "%3 = add(%1, %2) -> [outputs, 32]",
        "%4 = rms_norm(%3) eps 0.5 n [32] F32 -> [outputs, 32]",
        "%5 = linear(%4) y F32 -> [outputs, 32]",
        "%6 = add(%3, %5) -> [outputs, 32]",
    ];
    check("select-early", build, &before, &after, 5);
    check_stays("select-early", |s, x| s.attention(x, x, x));
    check_stays("select-early", |s, x| {
        let (layer, scores) = s.scores(x, x, x);
        s.weigh(layer, scores)
    });
    // The keys need every row of the norm.
    check_stays("select-early", |s, x| {
        let (h, layer) = (s.norm(32, x), s.graph.kv_layer(KvShape { heads: 2, head_dim: 16 }));
        s.graph.kv_write(layer, h, x).unwrap();
        h
    });
}

#[test]
fn bias() {
    let build: Build = |s, x| {
        let y = s.linear("w", DType::F16, x);
        s.bias(y)
    };
    let before = ["%1 = linear(%0) w F16 -> [tokens, 32]", "%2 = add_bias(%1) b [32] F32 -> [tokens, 32]"];
    check("bias", build, &before, &["%1 = product(%0) w F16, b [32] F32 -> [tokens, 32]"], 1);
    check_stays("bias", |s, x| {
        let y = s.linear("w", DType::F16, x);
        let biased = s.bias(y);
        s.op(Op::Add, &[y, biased])
    });
}

#[test]
fn siblings() {
    let build: Build = |s, x| {
        let [q, r] = s.linears([("q", DType::Q8_0), ("r", DType::F32)], x);
        let y = s.op(Op::Add, &[q, r]);
        let [k, gate, up] = s.linears([("k", DType::Q4_0), ("gate", DType::Q8_0), ("up", DType::Q8_0)], x);
        let h = s.op(Op::Glu { act: SILU }, &[gate, up]);
        let y = s.op(Op::Add, &[y, k]);
        s.op(Op::Add, &[y, h])
    };
    let before = [
        "%1 = linear(%0) q Q8_0 -> [tokens, 32]",
        "%2 = linear(%0) r F32 -> [tokens, 32]",
        "%3 = add(%1, %2) -> [tokens, 32]",
        "%4 = linear(%0) k Q4_0 -> [tokens, 32]",
        "%5 = linear(%0) gate Q8_0 -> [tokens, 32]",
        "%6 = linear(%0) up Q8_0 -> [tokens, 32]",
        "%7 = glu(%5, %6) Silu -> [tokens, 32]",
        "%8 = add(%3, %4) -> [tokens, 32]",
        "%9 = add(%8, %7) -> [tokens, 32]",
    ];
    let after = [
        "%1, %2 = product(%0) q Q8_0, k Q4_0 -> [tokens, 32], [tokens, 32]",
        "%3 = linear(%0) r F32 -> [tokens, 32]",
        "%4 = add(%1, %3) -> [tokens, 32]",
        "%5, %6 = product(%0) gate Q8_0, up Q8_0 -> [tokens, 32], [tokens, 32]",
        "%7 = glu(%5, %6) Silu -> [tokens, 32]",
        "%8 = add(%4, %2) -> [tokens, 32]",
        "%9 = add(%8, %7) -> [tokens, 32]",
    ];
    check("siblings", build, &before, &after, 2);
    check_stays("siblings", |s, x| {
        let y = s.linear("a", DType::F32, x);
        s.linear("b", DType::F32, y)
    });
}

#[test]
fn glu() {
    let build: Build = |s, x| {
        let made = s.product(&["up", "gate"], End::Store, &[x]);
        s.op(Op::Glu { act: Activation::GeluTanh }, &[made[1], made[0]])
    };
    let before = [
        "%1, %2 = product(%0) up Q8_0, gate Q8_0 -> [tokens, 32], [tokens, 32]",
        "%3 = glu(%2, %1) GeluTanh -> [tokens, 32]",
    ];
    check("glu", build, &before, &["%1 = product(%0) glu GeluTanh gate Q8_0, up Q8_0 -> [tokens, 32]"], 1);
    check_stays("glu", |s, x| {
        let made = s.product(&["gate", "up"], End::Store, &[x]);
        let y = s.op(Op::Glu { act: SILU }, &made);
        s.op(Op::Add, &[made[0], y])
    });
}

#[test]
fn residual() {
    let build: Build = |s, x| {
        let y = s.linear("w", DType::F32, x);
        let h = s.norm(32, x);
        s.op(Op::Add, &[y, h])
    };
    let before = [
        "%1 = linear(%0) w F32 -> [tokens, 32]",
        "%2 = rms_norm(%0) eps 0.5 n [32] F32 -> [tokens, 32]",
        "%3 = add(%1, %2) -> [tokens, 32]",
    ];
    let after = [before[1].replace("%2", "%1"), "%2 = product(%1, %0) add w F32 -> [tokens, 32]".into()];
    check("residual", build, &before, &after.each_ref().map(String::as_str), 1);
    check_stays("residual", |s, x| {
        let y = s.linear("w", DType::F32, x);
        s.op(Op::Add, &[y, y])
    });
}

#[test]
fn quantize() {
    let build: Build = |s, x| {
        let [a, r] = s.linears([("a", DType::Q8_0), ("r", DType::F32)], x);
        let y = s.op(Op::Add, &[a, r]);
        s.product(&["b"], End::Add, &[y, x])[0]
    };
    let before = [
        "%1 = linear(%0) a Q8_0 -> [tokens, 32]",
        "%2 = linear(%0) r F32 -> [tokens, 32]",
        "%3 = add(%1, %2) -> [tokens, 32]",
        "%4 = product(%3, %0) add b Q8_0 -> [tokens, 32]",
    ];
    let after = [
        "%1 = quantize(%0) -> [tokens, 32] Q8",
        "%2 = linear(%1) a Q8_0 -> [tokens, 32]",
        "%3 = linear(%0) r F32 -> [tokens, 32]",
        "%4 = add(%2, %3) -> [tokens, 32]",
        "%5 = product(%4, %1) add b Q8_0 -> [tokens, 32]",
    ];
    check("quantize", build, &before, &after, 1);
    check_stays("quantize", |s, x| s.linear("w", DType::BF16, x));
}

#[test]
fn norm_quantize() {
    let build: Build = |s, x| {
        let h = s.norm(32, x);
        let h = s.op(Op::Quantize { span: Elem::Q8_BLOCK }, &[h]);
        s.linear("w", DType::Q8_0, h)
    };
    let before = [
        "%1 = rms_norm(%0) eps 0.5 n [32] F32 -> [tokens, 32]",
        "%2 = quantize(%1) -> [tokens, 32] Q8",
        "%3 = linear(%2) w Q8_0 -> [tokens, 32]",
    ];
    let after =
        ["%1 = rms_norm(%0) eps 0.5, to Q8 n [32] F32 -> [tokens, 32] Q8", "%2 = linear(%1) w Q8_0 -> [tokens, 32]"];
    check("norm-quantize", build, &before, &after, 1);
    check_stays("norm-quantize", |s, x| {
        let h = s.norm(16, x);
        let h = s.op(Op::Quantize { span: Elem::Q8_BLOCK }, &[h]);
        s.linear("w", DType::Q8_0, h)
    });
    check_stays("norm-quantize", |s, x| {
        let h = s.norm(32, x);
        let rounded = s.op(Op::Quantize { span: Elem::Q8_BLOCK }, &[h]);
        let y = s.linear("w", DType::Q8_0, rounded);
        s.op(Op::Add, &[h, y])
    });
}

#[test]
fn mlp() {
    let build: Build = |s, x| {
        let h = s.product(&["gate", "up"], End::Glu(SILU), &[x]);
        let h = s.op(Op::Quantize { span: Elem::Q8_BLOCK }, &h);
        s.product(&["down"], End::Add, &[x, h])[0]
    };
    let before = [
        "%1 = product(%0) glu Silu gate Q8_0, up Q8_0 -> [tokens, 32]",
        "%2 = quantize(%1) -> [tokens, 32] Q8",
        "%3 = product(%0, %2) add down Q8_0 -> [tokens, 32]",
    ];
    let after = [
        "%1 = product(%0) glu Silu to Q8 gate Q8_0, up Q8_0 -> [tokens, 32] Q8",
        "%2 = product(%0, %1) add down Q8_0 -> [tokens, 32]",
    ];
    check("mlp", build, &before, &after, 1);
    check_stays("mlp", |s, x| {
        let h = s.product(&["gate", "up"], End::Glu(SILU), &[x])[0];
        let rounded = s.op(Op::Quantize { span: Elem::Q8_BLOCK }, &[h]);
        let y = s.linear("down", DType::Q8_0, rounded);
        s.op(Op::Add, &[h, y])
    });
}

/// Attention of `x` to itself.
fn parts(s: &mut Site, x: ValueId) -> ValueId {
    let (layer, scores) = s.scores(x, x, x);
    let weights = s.op(SOFTMAX, &[scores]);
    s.weigh(layer, weights)
}

#[test]
fn attention() {
    let before = [
        "kv_write(%0, %0) layer 0",
        "%1 = scores(%0) layer 0, 2 heads, scale 0.5 -> [tokens, 2, positions]",
        "%2 = softmax(%1) -> [tokens, 2, positions]",
        "%3 = weigh(%2) layer 0 -> [tokens, 32]",
    ];
    let after = [before[0], "%1 = attention(%0) layer 0, 2 heads, scale 0.5 -> [tokens, 32]"];
    check("attention", parts, &before, &after, 1);
    let all: Build = |s, x| {
        let (layer, sinks) = (s.kv(x, x), Some(s.vector("s", 2)));
        let op = Attention { layer, heads: 2, scale: 0.5, window: Some(4), causal: true, softcap: Some(3.0), sinks };
        s.graph.attention(op, x).unwrap()
    };
    let capped = [
        before[0],
        before[1],
        "%2 = soft_cap(%1) at 3 -> [tokens, 2, positions]",
        "%3 = softmax(%2) window 4 s [2] F32 -> [tokens, 2, positions]",
        "%4 = weigh(%3) layer 0 -> [tokens, 32]",
    ];
    let op = "%1 = attention(%0) layer 0, 2 heads, scale 0.5, window 4, softcap 3 s [2] F32 -> [tokens, 32]";
    check("attention", all, &capped, &[before[0], op], 1);
}

#[test]
fn what_is_not_attention() {
    // The values of another layer.
    check_stays("attention", |s, x| {
        let (other, (_, scores)) = (s.kv(x, x), s.scores(x, x, x));
        let weights = s.op(SOFTMAX, &[scores]);
        s.weigh(other, weights)
    });
    // Shares, or scores, that something else reads too.
    check_stays("attention", |s, x| {
        let (layer, scores) = s.scores(x, x, x);
        let weights = s.op(SOFTMAX, &[scores]);
        let [a, b] = [weights, weights].map(|weights| s.weigh(layer, weights));
        s.op(Op::Add, &[a, b])
    });
    check_stays("attention", |s, x| {
        let (layer, scores) = s.scores(x, x, x);
        let weights = s.op(SOFTMAX, &[scores]);
        let [a, b] = [scores, weights].map(|weights| s.weigh(layer, weights));
        s.op(Op::Add, &[a, b])
    });
    // Capped twice.
    check_stays("attention", |s, x| {
        let (layer, mut scores) = s.scores(x, x, x);
        for cap in [2.0, 3.0] {
            scores = s.op(Op::SoftCap { cap }, &[scores]);
        }
        let weights = s.op(SOFTMAX, &[scores]);
        s.weigh(layer, weights)
    });
}

#[test]
fn rope_kv() {
    let build: Build = |s, x| {
        let v = s.norm(16, x);
        let [q, k] = [x, v].map(|x| s.rope(8, x));
        s.attention(q, k, v)
    };
    let before = [
        "%1 = rms_norm(%0) eps 0.5 n [16] F32 -> [tokens, 32]",
        "%2 = rope(%0) Halves, 16 of 16 -> [tokens, 32]",
        "%3 = rope(%1) Halves, 16 of 16 -> [tokens, 32]",
        "kv_write(%3, %1) layer 0",
        "%4 = attention(%2) layer 0, 2 heads, scale 1 -> [tokens, 32]",
    ];
    let after = [
        before[0],
        "%2 = rope_kv_write(%0, %1, %1) Halves, 16 of 16, layer 0 -> [tokens, 32]",
        "%3 = attention(%2) layer 0, 2 heads, scale 1 -> [tokens, 32]",
    ];
    check("rope-kv", build, &before, &after, 1);
    let parts: Build = |s, x| {
        let [q, k] = [x, x].map(|x| s.rope(8, x));
        let (layer, scores) = s.scores(q, k, x);
        s.weigh(layer, scores)
    };
    let before = [
        "%1 = rope(%0) Halves, 16 of 16 -> [tokens, 32]",
        "%2 = rope(%0) Halves, 16 of 16 -> [tokens, 32]",
        "kv_write(%2, %0) layer 0",
        "%3 = scores(%1) layer 0, 2 heads, scale 0.5 -> [tokens, 2, positions]",
        "%4 = weigh(%3) layer 0 -> [tokens, 32]",
    ];
    let after = [
        "%1 = rope_kv_write(%0, %0, %0) Halves, 16 of 16, layer 0 -> [tokens, 32]",
        "%2 = scores(%1) layer 0, 2 heads, scale 0.5 -> [tokens, 2, positions]",
        "%3 = weigh(%2) layer 0 -> [tokens, 32]",
    ];
    check("rope-kv", parts, &before, &after, 1);
    check_stays("rope-kv", |s, x| {
        let (q, k) = (s.rope(8, x), s.rope(4, x));
        s.attention(q, k, x)
    });
    check_stays("rope-kv", |s, x| {
        let [q, k] = [x, x].map(|x| s.rope(8, x));
        s.attention(q, k, k)
    });
    // What reads the queries before the keys are written needs them then.
    check_stays("rope-kv", |s, x| {
        let q = s.rope(8, x);
        let h = s.norm(32, q);
        let k = s.rope(8, h);
        s.attention(q, k, h)
    });
}

#[test]
fn what_nothing_reads_is_dropped() {
    let build: Build = |s, x| {
        let y = s.linear("w", DType::F32, x);
        s.norm(32, y);
        x
    };
    let all: Vec<&str> = rules().iter().map(|rule| rule.name).collect();
    let (before, after) = (graph(build), fuse(&graph(build), rules(), &all).unwrap().graph);
    assert_eq!((text(&before).len(), text(&after).len()), (2, 0));
    assert_eq!((before.weights(), before.values().len(), after.values().len()), (after.weights(), 4, 2));
}

#[test]
fn names() {
    let error = fuse(&graph(|_, x| x), rules(), &["bias", "biases"]).unwrap_err().to_string();
    assert!(error.starts_with("there is no fusion rule \"biases\"; the rules are select-early, bias, "), "{error}");
}

#[test]
fn validation_sees_what_differs() {
    let build: Build = |s, x| s.linear("w", DType::F32, x);
    let other: Build = |s, x| {
        let y = s.linear("w", DType::F32, x);
        s.op(Op::Scale { by: 0.5 }, &[y])
    };
    assert_eq!(validate(&graph(build), &graph(other), 3).unwrap(), 0.5);
    assert!(validate(&graph(|_, x| x), &graph(build), 3).is_err());
}

#[test]
fn traffic() {
    let build: Build = |s, x| {
        let h = s.op(Op::Quantize { span: Elem::Q8_BLOCK }, &[x]);
        s.product(&["w"], End::Add, &[x, h])[0]
    };
    // A row is 128 bytes, 64 as Q8; a row of the table 128, the matrix 32 times 34.
    let wanted = Traffic { nodes: 4, read: 128 + 192 + 128, written: 128 + 64 + 256, weights: 128 + 1088, arena: 256 };
    assert_eq!(Traffic::new(&graph(build), &LAYOUT), wanted);
    // Scores of two heads and 512 positions are 4096 bytes, in whose place their weights are; rows are 128.
    let (read, written) = (3 * 128 + 2 * 4096 + 128, 128 + 2 * 4096 + 2 * 128);
    let wanted = Traffic { nodes: 6, read, written, weights: 128, arena: 4096 + 128 };
    assert_eq!(Traffic::new(&graph(parts), &LAYOUT), wanted);
}
