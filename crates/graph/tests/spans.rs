//! Spans of columns that are rounded to 8 bits together: what is refused, and how rules choose them.

use graph::{Activation, Elem, End, GraphBuilder, GraphError, Op, Product, ValueId, WeightInfo, fuse, rules};
use tensor::{DType, Shape};

/// What is appended to a value of `width` is refused in these words.
fn check(wanted: &str, width: usize, push: impl FnOnce(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>) {
    let mut graph = GraphBuilder::new();
    let table = graph.weight(WeightInfo::matrix("table", Shape::matrix(9, width), DType::F32));
    let x = graph.push(Op::Embed { table }, &[]).unwrap();
    assert_eq!(push(&mut graph, x).expect_err(wanted).to_string(), wanted);
}

#[test]
fn spans_that_do_not_fit() {
    let check_span =
        |wanted: &str, width, span| check(wanted, width, |graph, x| graph.push(Op::Quantize { span }, &[x]));
    check_span("quantize: a span of 0 is not whole blocks of 32", 96, 0);
    check_span("quantize: a span of 48 is not whole blocks of 32", 96, 48);
    check_span("quantize: a width of 96 is not whole blocks of 64", 96, 64);
    let check_product = |wanted: &str, span: Option<usize>, types: [DType; 2]| {
        check(wanted, 64, |graph, x| {
            let x = span.map_or(Ok(x), |span| graph.push(Op::Quantize { span }, &[x]))?;
            let weights = types.map(|dtype| graph.weight(WeightInfo::matrix("w", Shape::matrix(64, 64), dtype))).into();
            let op = Product { weights, biases: vec![None; 2], end: End::Glu(Activation::Silu), quantize: false };
            graph.push(Op::Product(op), &[x])
        });
    };
    let words = "product w: the input is rounded in spans of 32, the weight needs 64";
    check_product(words, Some(Elem::Q8_BLOCK), [DType::Q8_ROW; 2]);
    let words = "product w: the input is rounded in spans of 64, the weight needs 32";
    check_product(words, Some(64), [DType::Q8_0; 2]);
    let words = "product w: its weights need an input that is rounded in different spans";
    check_product(words, None, [DType::Q8_ROW, DType::Q8_0]);
}

/// Rows of which several types are multiplied are rounded once for each way, as whole rows by no operator but the one for it.
#[test]
fn whole_rows_are_rounded_alone() {
    let mut graph = GraphBuilder::new();
    let table = graph.weight(WeightInfo::matrix("t", Shape::matrix(9, 64), DType::F32));
    let norm = graph.weight(WeightInfo::elements("n", Shape::vector(64), DType::F32));
    let x = graph.push(Op::Embed { table }, &[]).unwrap();
    let h = graph.push(Op::RmsNorm { weight: norm, eps: 0.5, quantize: false }, &[x]).unwrap();
    let mut linear = |name: &str, dtype, x| {
        let weight = graph.weight(WeightInfo::matrix(name, Shape::matrix(64, 64), dtype));
        graph.push(Op::Linear { weight }, &[x]).unwrap()
    };
    let [a, b, c] =
        [("a", DType::Q8_ROW), ("b", DType::Q8_0), ("c", DType::Q8_ROW)].map(|(name, dtype)| linear(name, dtype, h));
    let gated = graph.push(Op::Glu { act: Activation::Silu }, &[a, c]).unwrap();
    let weight = graph.weight(WeightInfo::matrix("d", Shape::matrix(64, 64), DType::Q8_ROW));
    let d = graph.push(Op::Linear { weight }, &[gated]).unwrap();
    let sum = graph.push(Op::Add, &[b, d]).unwrap();
    let out = graph.push(Op::SelectOutputs, &[sum]).unwrap();
    let graph = graph.finish("out", out).unwrap();
    let fused = fuse(&graph, rules(), &["select-early", "residual"]).unwrap().graph.to_string();
    let wanted = [
        "%0 = embed() t [9, 64] F32 -> [tokens, 64]",
        "%1 = rms_norm(%0) eps 0.5 n [64] F32 -> [tokens, 64]",
        "%2 = quantize(%1) by 64 -> [tokens, 64] Q8",
        "%3 = product(%2) glu Silu a [64, 64] Q8_ROW, c [64, 64] Q8_ROW -> [tokens, 64]",
        "%4 = quantize(%1) -> [tokens, 64] Q8",
        "%5 = linear(%4) b [64, 64] Q8_0 -> [tokens, 64]",
        "%6 = quantize(%3) by 64 -> [tokens, 64] Q8",
        "%7 = linear(%6) d [64, 64] Q8_ROW -> [tokens, 64]",
        "%8 = add(%5, %7) -> [tokens, 64]",
        "%9 = select_outputs(%8) -> [outputs, 64]",
    ];
    assert_eq!(fused.lines().collect::<Vec<_>>(), wanted);
}
