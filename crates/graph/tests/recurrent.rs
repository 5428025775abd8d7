//! Every recurrent operator of the reference interpreter against numbers worked out by hand.

mod bench;

use bench::{Bench, check};
use graph::{GatedDelta, HeadOrder, Memory, Op, Scan, ValueId};
use tensor::Shape;

#[test]
fn causal_conv() {
    // Two channels, three rows: taps (1, 10, 100) and (0, -1, 2), oldest input first.
    let conv = |b: &mut Bench| {
        let x = b.input(2, &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let weight = b.elements(Shape::matrix(2, 3), &[1.0, 10.0, 100.0, 0.0, -1.0, 2.0]);
        let layer = b.graph.memory(Memory::Recurrent { len: 4 });
        b.push(Op::CausalConv { layer, weight }, &[x])
    };
    check("causal_conv", 3, conv, [100.0, 8.0, 210.0, 6.0, 321.0, 7.0]);
}

/// Two rows of the delta rule with a key head of width 2 and value heads of width 1; the decay halves what it touches.
fn gated_delta(heads: usize, key_heads: usize, order: HeadOrder, decay: &[f32]) -> impl FnOnce(&mut Bench) -> ValueId {
    let decay: Vec<f32> = decay.iter().map(|&x| x * std::f32::consts::LN_2).collect();
    move |b: &mut Bench| {
        let keys = [[1.0, 2.0, 1.0, 0.0], [3.0, 1.0, 0.0, 1.0]].map(|row| row[..2 * key_heads].to_vec());
        let k = b.input(2 * key_heads, &keys.concat());
        let q = b.input(2 * key_heads, &vec![1.0; 4 * key_heads]);
        let v = b.input(heads, &[vec![4.0; heads], vec![10.0; heads]].concat());
        let decay = b.input(decay.len() / 2, &decay);
        let rate = b.input(heads, &vec![0.5; 2 * heads]);
        let layer = b.graph.memory(Memory::Recurrent { len: 2 * heads });
        b.push(Op::GatedDelta(GatedDelta { layer, heads, key_heads, order }), &[q, k, v, decay, rate])
    }
}

#[test]
fn the_gated_delta_rule() {
    // Row 0: S = (1, 2) · 0.5 · 4 = (2, 4), out 6. Row 1: S halves to (1, 2); S · k = 5; S = (1, 2) + (3, 1) · 0.5 · 5, out 13.
    check("a head", 2, gated_delta(1, 1, HeadOrder::Grouped, &[0.0, -1.0]), [6.0, 13.0]);
    // The second row of the state stays: S = (1, 4), S · k = 7, S = (1, 4) + (3, 1) · 0.5 · 3, out 11.
    check("a decay by row", 2, gated_delta(1, 1, HeadOrder::Grouped, &[0.0, 0.0, -1.0, 0.0]), [6.0, 11.0]);
    // The second key head: S = (1, 0) · 2, out 2; S halves to (1, 0), S · k = 0, S = (1, 0) + (0, 1) · 5, out 6.
    let decay = [0.0, 0.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0];
    let grouped = [6.0, 6.0, 2.0, 2.0, 13.0, 13.0, 6.0, 6.0];
    check("neighbours", 2, gated_delta(4, 2, HeadOrder::Grouped, &decay), grouped);
    check("in turn", 2, gated_delta(4, 2, HeadOrder::Tiled, &decay), [6.0, 2.0, 6.0, 2.0, 13.0, 6.0, 13.0, 6.0]);
}

#[test]
fn scan() {
    // Two heads of one element, in one group of a state of two. e^(-ln 2 · t) is 1/2 for t = 1 and 1/4 for t = 2.
    let scan = |b: &mut Bench| {
        let x = b.input(2, &[1.0, 2.0, 3.0, 4.0]);
        let [rows, columns] = [[1.0, 3.0, 2.0, 1.0], [1.0, 1.0, 1.0, 10.0]].map(|rows| b.input(2, &rows));
        let step = b.input(2, &[1.0, 1.0, 2.0, 1.0]);
        let [decay, skip] = [[-std::f32::consts::LN_2; 2], [0.0, 100.0]].map(|values| b.vector(&values));
        let layer = b.graph.memory(Memory::Recurrent { len: 4 });
        b.push(Op::Scan(Scan { layer, heads: 2, groups: 1, decay, skip }), &[x, rows, columns, step])
    };
    // Head 0: S = (1, 3), out 4; then S = (1, 3) / 4 + (2, 1) · 6 = (12.25, 6.75), out 79.75.
    // Head 1: S = (2, 6), out 8 + 200; then S = (1, 3) + (2, 1) · 4 = (9, 7), out 79 + 400.
    check("scan", 2, scan, [4.0, 208.0, 79.75, 479.0]);
}
