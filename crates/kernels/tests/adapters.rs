//! LoRA adapters beside a model: the logits of PEFT, and the same bits alone and in a batch of others, with and without adapters.

#[path = "../../model/tests/support/adapters.rs"]
mod adapters;
#[path = "../../model/tests/support/golden.rs"]
mod golden;
#[path = "support/tested.rs"]
mod tested;

use std::ops::Range;
use std::sync::Arc;

use adapters::Fixture;
use graph::testing::{ToyConfig, difference, toy_model, uniform, upload};
use graph::{Adapted, Adapter, Backend, Batch, Change, Graph, Interpreter, KvType, Limits, Op};
use kernels::{Cpu, CpuOptions, Isa};
use tensor::DType;
use tested::is_tested;

const LIMITS: Limits =
    Limits { max_tokens: 64, max_outputs: 64, kv_blocks: 64, block_len: 16, kv_type: KvType::F16, state_slots: 8 };

fn cpu(threads: usize, isa: Isa) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), isa: Some(isa), ..CpuOptions::default() })
}

#[test]
fn logits_are_those_of_peft() {
    for isa in Isa::available().filter(|isa| is_tested(isa)) {
        let rounds =
            |weight: &graph::WeightInfo| matches!(isa, Isa::Amx | Isa::Avx512Bf16) && weight.dtype == DType::BF16;
        adapters::ALL.iter().for_each(|name| Fixture::check(name, &cpu(2, isa), rounds));
    }
}

/// An adapter of every matrix that is multiplied with, or of every second one.
fn adapter(graph: &Graph, rank: usize, step: usize) -> Arc<Adapter> {
    let mut seed = rank as u64;
    let matrices =
        graph.nodes().iter().filter_map(|node| if let Op::Linear { weight } = node.op { Some(weight) } else { None });
    let changes = matrices.step_by(step).map(|weight| {
        let shape = graph.weight(weight).shape;
        let mut random = |count: usize, size: f32| (0..count).map(|_| size * uniform(&mut seed)).collect::<Vec<f32>>();
        let a = random(rank * shape.cols, (3.0 / shape.cols as f32).sqrt());
        (weight, Change { rank, a, b: random(rank * shape.rows, 0.4) })
    });
    Arc::new(Adapter::new(graph, [rank as u8; 32], changes.collect::<Vec<_>>()).expect("of this graph"))
}

struct Program<B: Backend> {
    backend: B,
    program: B::Program,
    width: usize,
}

impl<B: Backend> Program<B> {
    fn new(backend: B, (graph, weights): &(Graph, Vec<Vec<u8>>)) -> Program<B> {
        let graph = graph::fuse(graph, backend.device().rules, &[]).expect("no rule is disabled").graph;
        let uploaded = upload(&backend, &graph, weights);
        let program = backend.compile(&graph, uploaded, LIMITS).expect("memory");
        Program { backend, program, width: graph.output_width() }
    }

    /// Runs spans of (sequence, positions, adapter); gives the output of each one's last rows, so many as are wanted.
    fn step(&mut self, spans: &[(u32, Range<usize>, Option<&Arc<Adapter>>)], outputs: usize) -> Vec<Vec<f32>> {
        let mut batch = Batch::default();
        for (sequence, positions, adapter) in spans {
            let tokens: Vec<u32> = positions.clone().map(|i| (i as u32 * 7 + sequence * 13 + 5) % 67).collect();
            let blocks = (0..4).map(|block| sequence * 4 + block);
            let rows = batch.push_with_state(&tokens, positions.start, blocks, Some(*sequence));
            batch.outputs.extend((rows.end - outputs.min(rows.len())..rows.end).map(|row| row as u32));
            batch.adapters.extend(adapter.map(|adapter| Adapted { rows, adapter: Arc::clone(adapter) }));
        }
        self.backend.run(&mut self.program, &batch).expect("a batch within limits");
        let mut rows = self.backend.download(&self.program).chunks(self.width * outputs);
        spans.iter().map(|_| rows.next().expect("a span's rows").to_vec()).collect()
    }
}

fn configs() -> Vec<ToyConfig> {
    let plain = ToyConfig::default();
    let mut all = vec![
        ToyConfig { width: 48, hidden: 80, head_dim: 12, ..plain.clone() },
        ToyConfig { heads: (4, 0), dtype: DType::Q8_0, head_dim: 64, ..plain.clone() },
        ToyConfig { experts: Some((5, 2)), softcap: Some(3.0), ..plain.clone() },
    ];
    let types = [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q8_ROW];
    all.extend(types.map(|dtype| ToyConfig { dtype, ..plain.clone() }));
    all
}

#[test]
fn bits_are_the_same_alone_and_beside_others() {
    for (config, isa) in
        configs().iter().flat_map(|config| Isa::available().filter(|isa| is_tested(isa)).map(move |isa| (config, isa)))
    {
        let what = format!("{isa:?} {config:?}");
        let toy = toy_model(config);
        let (small, large) = (adapter(&toy.0, 3, 2), adapter(&toy.0, 17, 1));
        let who = [None, Some(&small), Some(&large), None, Some(&small)];
        // Each alone, in its own program: whole, then two tokens one after the other.
        let alone: Vec<[Vec<f32>; 3]> = (0..5)
            .map(|i| {
                let mut program = Program::new(cpu(1, isa), &toy);
                [0..9, 9..10, 10..11].map(|at| program.step(&[(i as u32, at, who[i])], 1).remove(0))
            })
            .collect();
        let mut program = Program::new(cpu(3, isa), &toy);
        let both = |of: Range<usize>| (0..5).map(move |i| (i as u32, of.clone(), who[i])).collect::<Vec<_>>();
        for (step, at) in [0..9, 9..10, 10..11].into_iter().enumerate() {
            for (i, row) in program.step(&both(at), 1).iter().enumerate() {
                assert!(same(row, &alone[i][step]), "{what}: sequence {i}, step {step}");
            }
        }
        // A prompt in pieces beside others that decode.
        let mut program = Program::new(cpu(2, isa), &toy);
        program.step(&[(2, 0..4, who[2]), (0, 0..9, who[0]), (1, 0..9, who[1])], 1);
        let rows = program.step(&[(1, 9..10, who[1]), (2, 4..9, who[2]), (0, 9..10, who[0])], 1);
        assert!(same(&rows[0], &alone[1][1]) && same(&rows[1], &alone[2][0]) && same(&rows[2], &alone[0][1]), "{what}");
        // Those without an adapter have the bits of a program that has never seen one.
        let mut never = Program::new(cpu(2, isa), &toy);
        assert!(same(&never.step(&[(0, 0..9, None), (3, 0..9, None)], 1)[0], &alone[0][0]), "{what}");
        // The others would have said something else.
        let plain = never.step(&[(1, 0..9, None), (2, 0..9, None)], 1);
        assert!((0..2).all(|i| difference(&alone[1 + i][0], &plain[i]) > 0.01), "{what}");
    }
}

fn same(one: &[f32], other: &[f32]) -> bool {
    let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    bits(one) == bits(other) && one.iter().all(|x| x.is_finite())
}

#[test]
fn numbers_are_those_of_the_interpreter() {
    for (config, isa) in
        configs().iter().flat_map(|config| Isa::available().filter(|isa| is_tested(isa)).map(move |isa| (config, isa)))
    {
        let toy = toy_model(config);
        let (small, large) = (adapter(&toy.0, 3, 2), adapter(&toy.0, 17, 1));
        let spans = [(0, 0..20, Some(&large)), (1, 0..7, None), (2, 0..9, Some(&small))];
        let rounding = match config.dtype {
            dtype if dtype.layout().block_len > 1 => 4e-2,
            DType::BF16 => 2e-2,
            _ => 8e-3,
        };
        for outputs in [1, 5] {
            let wanted = Program::new(Interpreter, &toy).step(&spans, outputs);
            for (got, wanted) in Program::new(cpu(2, isa), &toy).step(&spans, outputs).iter().zip(&wanted) {
                let worst = difference(got, wanted);
                assert!(worst <= rounding, "{isa:?} {config:?}, {outputs} outputs: off by {worst}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let toy = toy_model(&ToyConfig { experts: Some((5, 2)), ..ToyConfig::default() });
    let other = toy_model(&ToyConfig { width: 96, ..ToyConfig::default() });
    let refused = |batch: &dyn Fn(&mut Batch), expected: &str| {
        let mut program = Program::new(cpu(1, Isa::detect()), &toy);
        let mut given = Batch { outputs: vec![3], ..Batch::default() };
        given.push(&[1, 2, 3, 4], 0, [0]);
        batch(&mut given);
        let error = program.backend.run(&mut program.program, &given).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n does not say\n{expected}");
    };
    let rows = |rows: Range<usize>, adapter: Arc<Adapter>| {
        move |batch: &mut Batch| {
            batch.adapters.push(Adapted { rows: rows.clone(), adapter: Arc::clone(&adapter) });
        }
    };
    refused(&rows(0..4, adapter(&other.0, 2, 1)), "an adapter is of another model");
    refused(&rows(2..5, adapter(&toy.0, 2, 1)), "ends after row 4");
    refused(&rows(2..2, adapter(&toy.0, 2, 1)), "an adapter for rows 2..2");
    let experts = toy
        .0
        .nodes()
        .iter()
        .find_map(|node| if let Op::ExpertLinear { weight } = node.op { Some(weight) } else { None });
    let change = Change { rank: 1, a: vec![0.0; 64], b: vec![0.0; 96] };
    let error = Adapter::new(&toy.0, [0; 32], [(experts.expect("there are some"), change)]).expect_err("experts");
    assert!(error.contains("is read by expert_linear, where adapters are not computed"), "{error}");
}
