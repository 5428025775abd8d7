//! The operators of recurrent layers on 512 rows of one sequence, as operations per second: below the limits of the machine, which
//! are printed before. `cargo bench -p whinchat-kernels --bench recurrent -- Avx512`.

mod machine;

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use graph::{
    Backend, Batch, GatedDelta, Graph, GraphBuilder, HeadOrder, KvType, Limits, Memory, Op, Scan, ValueId, WeightId,
    WeightInfo,
};
use kernels::{Cpu, CpuOptions, Isa, Program};
use machine::Machine;
use tensor::{DType, Shape};

const ROWS: usize = 512;
const BLOCK_LEN: usize = 16;
/// The operator is computed so often in a step that the rest of it does not count.
const TIMES: usize = 8;

criterion_group! { name = benches; config = machine::criterion(); targets = recurrent }
criterion_main!(benches);

fn recurrent(criterion: &mut Criterion) {
    println!("{}", Machine::measure(machine::threads(), 1 << 30));
    for isa in Isa::available() {
        let mut group = criterion.benchmark_group(format!("recurrent/{isa:?}"));
        for (name, operations, operator) in OPERATORS {
            let graph = graph(operator);
            group.throughput(Throughput::Elements((operations * ROWS * TIMES) as u64));
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                let cpu = Cpu::new(CpuOptions { isa: Some(isa), ..CpuOptions::default() });
                let mut program = program(&cpu, &graph);
                let mut batch = Batch { outputs: vec![0], ..Batch::default() };
                batch.push_with_state(&[0; ROWS], 0, 0..(ROWS / BLOCK_LEN) as u32, Some(0));
                bencher.iter(|| cpu.run(&mut program, &batch).expect("a batch within limits"));
            });
        }
    }
}

/// Appends an operator to a graph and gives its value.
type Operator = fn(&mut GraphBuilder) -> ValueId;

/// Operations of a row: the delta rule decays a state, reads it twice and writes to it, two operations a number but the decay; the
/// scan decays it, writes and reads it once. The shapes are those of Qwen3.5-0.8B and of Granite 4.0 H 350M.
const OPERATORS: [(&str, usize, Operator); 3] = [
    ("gated_delta, 16 heads of 128 x 128", 7 * 16 * 128 * 128, |graph| {
        let layer = graph.memory(Memory::Recurrent { len: 16 * 128 * 128 });
        let [q, k, v] = [0.3, 0.08, 0.2].map(|value| table(graph, 16 * 128, value));
        let [decay, rate] = [-0.1, 0.5].map(|value| table(graph, 16, value));
        let op = GatedDelta { layer, heads: 16, key_heads: 16, order: HeadOrder::Tiled };
        push(graph, Op::GatedDelta(op), &[q, k, v, decay, rate])
    }),
    ("scan, 48 heads of 32 x 128", 5 * 48 * 32 * 128, |graph| {
        let layer = graph.memory(Memory::Recurrent { len: 48 * 32 * 128 });
        let [x, b, c] = [(48 * 32, 0.3), (128, 0.2), (128, 0.1)].map(|(width, value)| table(graph, width, value));
        let step = table(graph, 48, 0.5);
        let [decay, skip] = [-0.5, 1.0].map(|value| numbers(graph, Shape::vector(48), value));
        push(graph, Op::Scan(Scan { layer, heads: 48, groups: 1, decay, skip }), &[x, b, c, step])
    }),
    ("causal_conv, 6144 channels of 4 taps", 2 * 6144 * 4, |graph| {
        let layer = graph.memory(Memory::Recurrent { len: 6144 * 3 });
        let x = table(graph, 6144, 0.5);
        let weight = numbers(graph, Shape::matrix(6144, 4), 0.25);
        push(graph, Op::CausalConv { layer, weight }, &[x])
    }),
];

fn push(graph: &mut GraphBuilder, op: Op, inputs: &[ValueId]) -> ValueId {
    graph.push(op, inputs).expect("inputs that fit")
}

/// What is in a weight is told by its name.
fn numbers(graph: &mut GraphBuilder, shape: Shape, value: f32) -> WeightId {
    graph.weight(WeightInfo::elements(value.to_string(), shape, DType::F32))
}

/// A table of one row, looked up for every token.
fn table(graph: &mut GraphBuilder, width: usize, value: f32) -> ValueId {
    let table = graph.weight(WeightInfo::matrix(value.to_string(), Shape::matrix(1, width), DType::F32));
    push(graph, Op::Embed { table }, &[])
}

fn graph(operator: Operator) -> Graph {
    let mut graph = GraphBuilder::new();
    let mut x = operator(&mut graph);
    for _ in 1..TIMES {
        let y = operator(&mut graph);
        x = push(&mut graph, Op::Add, &[x, y]);
    }
    let x = push(&mut graph, Op::SelectOutputs, &[x]);
    graph.finish("x", x).expect("numbers")
}

fn program(cpu: &Cpu, graph: &Graph) -> Program {
    let (kv_blocks, kv_type) = (ROWS / BLOCK_LEN, KvType::F16);
    let limits = Limits { max_tokens: ROWS, max_outputs: 1, kv_blocks, block_len: BLOCK_LEN, kv_type, state_slots: 1 };
    let upload = |id| {
        let info = graph.weight(id);
        let value: f32 = info.name.parse().expect("a number");
        let bytes = value.to_le_bytes().repeat(info.shape.elements().expect("few"));
        Arc::new(cpu.upload(info, &bytes).expect("memory"))
    };
    cpu.compile(graph, graph.weight_ids().map(upload).collect(), limits).expect("memory")
}
