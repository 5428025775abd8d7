//! Attention over many parts of the cache, as one operator and as several: against plain arithmetic on keys and values rounded as the cache rounds them,
//! and the same bits however the rows are brought.

#[path = "support/tested.rs"]
mod tested;

use graph::testing::upload;
use graph::{Attention, Backend, Batch, Graph, GraphBuilder, KvShape, KvType, Limits, Op, WeightInfo};
use kernels::{Cpu, CpuOptions, Isa};
use proptest::prelude::*;
use tensor::{DType, Shape};
use tested::is_tested;

/// Tokens; the last one's key and value are not numbers.
const VOCAB: usize = 97;
const POISON: u32 = VOCAB as u32 - 1;

#[derive(Clone, Debug)]
struct Case {
    kv_heads: usize,
    group: usize,
    head_dim: usize,
    block_len: usize,
    window: Option<usize>,
    /// If it is not, the sequence comes in one piece.
    causal: bool,
    softcap: Option<f32>,
    sinks: bool,
    /// Lengths of the pieces in which the sequence comes.
    chunks: Vec<usize>,
}

impl Case {
    fn heads(&self) -> usize {
        self.kv_heads * self.group
    }

    fn len(&self) -> usize {
        self.chunks.iter().sum()
    }

    /// Numbers that what the several operators hand to each other takes.
    fn positions(&self) -> usize {
        let block = self.block_len.next_multiple_of(16);
        self.heads() * self.len() * self.len().div_ceil(self.block_len) * block
    }

    fn op(&self) -> Attention {
        let scale = 3.0 / (self.head_dim as f32).sqrt();
        Attention {
            layer: 0,
            heads: self.heads(),
            scale,
            window: self.window,
            causal: self.causal,
            softcap: self.softcap,
            sinks: None,
        }
    }
}

/// What each token gives for query, key and value, and the sinks.
struct Numbers {
    tables: [Vec<f32>; 3],
    sinks: Vec<f32>,
}

impl Numbers {
    fn new(case: &Case) -> Numbers {
        let mut state = 7;
        let mut random = |n: usize| (0..n).map(|_| graph::testing::uniform(&mut state)).collect::<Vec<f32>>();
        let (kv, q) = (case.kv_heads * case.head_dim, case.heads() * case.head_dim);
        let mut tables = [random(VOCAB * q), random(VOCAB * kv), random(VOCAB * kv)];
        for table in &mut tables[1..] {
            table[(VOCAB - 1) * kv..].fill(f32::NAN);
        }
        Numbers { tables, sinks: random(case.heads()) }
    }

    fn row(&self, table: usize, token: u32) -> &[f32] {
        let width = self.tables[table].len() / VOCAB;
        &self.tables[table][token as usize * width..][..width]
    }
}

/// A graph that is one attention, fused or not: its logits are what attention gives.
struct Model {
    cpu: Cpu,
    program: kernels::Program,
    limits: Limits,
}

impl Model {
    fn new(case: &Case, numbers: &Numbers, (options, kv_type): (CpuOptions, KvType), fused: bool) -> Model {
        let mut graph = GraphBuilder::new();
        let mut bytes: Vec<Vec<u8>> = vec![];
        let mut weight = |graph: &mut GraphBuilder, shape: Shape, values: &[f32]| {
            bytes.push(values.iter().flat_map(|x| x.to_le_bytes()).collect());
            graph.weight(match shape.rows {
                1 => WeightInfo::elements("sinks", shape, DType::F32),
                _ => WeightInfo::matrix("table", shape, DType::F32),
            })
        };
        let [q, k, v] = [0, 1, 2].map(|i| {
            let table = &numbers.tables[i];
            let table = weight(&mut graph, Shape::matrix(VOCAB, table.len() / VOCAB), table);
            graph.push(Op::Embed { table }, &[]).expect("a table")
        });
        let sinks = case.sinks.then(|| weight(&mut graph, Shape::vector(case.heads()), &numbers.sinks));
        let layer = graph.kv_layer(KvShape { heads: case.kv_heads, head_dim: case.head_dim });
        graph.kv_write(layer, k, v).expect("keys and values fit the layer");
        let op = Attention { sinks, ..case.op() };
        let x = if fused { graph.push(Op::Attention(op), &[q]) } else { graph.attention(op, q) }.expect("queries fit");
        let x = graph.push(Op::SelectOutputs, &[x]).expect("rows of tokens");
        let graph: Graph = graph.finish("attention", x).expect("numbers");
        let rows = case.len().max(64) + 64;
        let kv_blocks = 4 * rows.div_ceil(case.block_len);
        let (max_tokens, max_outputs, block_len) = (rows, rows, case.block_len);
        let limits = Limits { max_tokens, max_outputs, kv_blocks, block_len, kv_type, state_slots: 0 };
        let cpu = Cpu::new(options);
        let program = cpu.compile(&graph, upload(&cpu, &graph, &bytes), limits).expect("memory");
        Model { cpu, program, limits }
    }

    /// Runs spans of (sequence, position, tokens): sequence s has the blocks s, s + 4, s + 8 … from the last to the first.
    fn step(&mut self, spans: &[(usize, usize, &[u32])]) -> Vec<f32> {
        let mut batch = Batch::default();
        for &(sequence, position, tokens) in spans {
            let blocks = (position + tokens.len()).div_ceil(self.limits.block_len);
            batch.push(tokens, position, (1..=blocks).map(|i| (self.limits.kv_blocks - 4 * i + sequence) as u32));
        }
        batch.outputs = (0..batch.tokens.len() as u32).collect();
        self.cpu.run(&mut self.program, &batch).expect("a batch within limits");
        self.cpu.download(&self.program).to_vec()
    }

    /// Leaves what is not a number in every place of the cache.
    fn poison(&mut self) {
        let mut batch = Batch { outputs: vec![0], ..Batch::default() };
        batch.push(&vec![POISON; self.limits.block_len], 0, [0]);
        self.cpu.run(&mut self.program, &batch).expect("a batch within limits");
        batch.copies = (1..self.limits.kv_blocks as u32).map(|block| (0, block)).collect();
        self.cpu.run(&mut self.program, &batch).expect("a batch within limits");
    }
}

/// A head's numbers as the cache has them.
fn rounded(kv: KvType, head: &[f32]) -> Vec<f64> {
    let dtype = kv.dtype();
    let mut padded = head.to_vec();
    padded.resize(head.len().next_multiple_of(32), 0.0);
    let mut bytes = vec![0; dtype.row_bytes(padded.len()).expect("whole blocks")];
    tensor::encode(dtype, &padded, &mut bytes).expect("whole blocks");
    tensor::decode(dtype, &bytes, &mut padded).expect("whole blocks");
    padded[..head.len()].iter().map(|&x| f64::from(x)).collect()
}

/// A query as it is multiplied with keys of such a type, scaled: keys with scales are integers, and so it is rounded to bytes.
fn multiplied(kv: KvType, query: &[f32], scale: f32, fused: bool) -> Vec<f64> {
    let (before, after) = if fused { (scale, 1.0) } else { (1.0, f64::from(scale)) };
    let round = |run: &[f32]| {
        let run: Vec<f32> = run.iter().map(|x| x * before).collect();
        let largest = run.iter().map(|x| x.abs()).fold(0.0, f32::max);
        let by = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let step = f64::from(largest / 127.0);
        let rounded = |x: f32| {
            if kv.dtype().layout().block_len > 1 { f64::from((x * by).round_ties_even()) * step } else { x.into() }
        };
        run.into_iter().map(|x| rounded(x) * after).collect::<Vec<_>>()
    };
    query.chunks(32).flat_map(round).collect()
}

/// The attention of one row, in double precision.
fn plain(case: &Case, (kv, fused): (KvType, bool), numbers: &Numbers, tokens: &[u32], row: usize) -> Vec<f64> {
    let op = case.op();
    let window = case.window.unwrap_or(tokens.len());
    let end = if case.causal { row + 1 } else { tokens.len().min(row + window) };
    let seen = &tokens[(row + 1).saturating_sub(window)..end];
    let query = numbers.row(0, tokens[row]);
    let heads = query.chunks(case.head_dim).enumerate().map(|(head, query)| {
        let query = multiplied(kv, query, op.scale, fused);
        let stored = |table: usize, token: u32| {
            rounded(kv, &numbers.row(table, token)[head / case.group * case.head_dim..][..case.head_dim])
        };
        let table = |i: usize| (0..POISON).map(|token| stored(i, token)).collect::<Vec<_>>();
        let (keys, values) = (table(1), table(2));
        let score = |key: &Vec<f64>| {
            let score = key.iter().zip(&query).map(|(k, q)| k * q).sum::<f64>();
            case.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh()).exp()
        };
        let shares: Vec<f64> = keys.iter().map(score).collect();
        let sink = if case.sinks { f64::from(numbers.sinks[head]).exp() } else { 0.0 };
        let total = sink + seen.iter().map(|&token| shares[token as usize]).sum::<f64>();
        let sum = |d: usize| seen.iter().map(|&t| shares[t as usize] * values[t as usize][d]).sum::<f64>() / total;
        (0..case.head_dim).map(sum).collect::<Vec<f64>>()
    });
    heads.flatten().collect()
}

fn check(case: &Case) {
    let numbers = Numbers::new(case);
    let tokens: Vec<u32> = (0..case.len() as u32).map(|i| (i * i * 7 + i * 3) % POISON).collect();
    let width = case.heads() * case.head_dim;
    let each = Isa::available().filter(|isa| is_tested(isa)).flat_map(|isa| KvType::all().map(move |kv| (isa, kv)));
    // Blocks of a few positions are mostly filling: unfused, a long sequence of them takes more memory than a test should.
    // And only the one operator looks ahead.
    let kinds = if case.causal && case.positions() < 1 << 25 { &[true, false][..] } else { &[true] };
    for ((isa, kv), &fused) in each.flat_map(|each| kinds.iter().map(move |fused| (each, fused))) {
        let what = format!("{isa:?} {kv:?} {case:?}, fused: {fused}");
        let options = |threads| (CpuOptions { threads: Some(threads), isa: Some(isa), ..CpuOptions::default() }, kv);
        let mut model = Model::new(case, &numbers, options(1), fused);
        let whole = model.step(&[(0, 0, &tokens)]);
        for row in [0, tokens.len() / 3, tokens.len() - 1] {
            let wanted = plain(case, (kv, fused), &numbers, &tokens, row);
            let got = whole[row * width..][..width].iter().map(|&x| f64::from(x));
            let worst =
                got.zip(&wanted).map(|(got, wanted)| (got - wanted).abs()).max_by(f64::total_cmp).expect("a row");
            assert!(worst < 5e-6, "{what}: row {row} is off by {worst}");
        }
        let mut model = Model::new(case, &numbers, options(3), fused);
        model.poison();
        let mut start = 0;
        for &len in &case.chunks {
            let (chunk, beside) = (&tokens[start..start + len], len.min(len % 19 + 1));
            let mut spans = vec![(1, 0, &tokens[..beside]), (2, start, chunk), (3, start, &[POISON][..])];
            spans.truncate(if len % 2 == 0 { 3 } else { 2 });
            let got = model.step(&spans);
            let rows = &got[beside * width..][..len * width];
            assert!(
                same(rows, &whole[start * width..][..len * width]),
                "{what}: {len} rows from {start} on, in a larger batch"
            );
            start += len;
        }
        if !case.causal {
            continue;
        }
        let last = tokens.len() - 1;
        let alone = model.step(&[(2, last, &[tokens[last], POISON])]);
        assert!(same(&alone[..width], &whole[last * width..]), "{what}: the last row, before one that is not a number");
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[test]
fn long_sequences_of_known_shapes() {
    let case = |kv_heads, group, head_dim, chunks: &[usize]| Case {
        kv_heads,
        group,
        head_dim,
        block_len: 16,
        window: None,
        causal: true,
        softcap: None,
        sinks: false,
        chunks: chunks.to_vec(),
    };
    check(&case(2, 7, 64, &[250, 1, 1, 9, 300, 1]));
    check(&Case { window: Some(260), ..case(1, 4, 128, &[255, 1, 1, 280, 1, 1]) });
    check(&Case { causal: false, ..case(2, 3, 64, &[530]) });
    check(&Case { causal: false, window: Some(65), ..case(1, 2, 64, &[300]) });
    check(&Case { sinks: true, softcap: Some(4.0), ..case(1, 1, 80, &[1, 511, 1, 1, 255, 1]) });
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1usize..3, 1usize..10, 1usize..70, prop_oneof![Just(16), Just(32), 1usize..40]);
    let rules = (prop::option::of(1usize..400), prop::option::of(1f32..20.0), any::<bool>());
    let chunks = prop::collection::vec(prop_oneof![Just(1), 1usize..20, 1usize..300], 1..6);
    (shape, rules, chunks).prop_map(|((kv_heads, group, head_dim, block_len), (window, softcap, sinks), chunks)| Case {
        kv_heads,
        group,
        head_dim,
        block_len,
        window,
        causal: chunks.len() > 1,
        softcap,
        sinks,
        chunks,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_in_any_pieces(case in cases()) {
        check(&case);
    }
}
