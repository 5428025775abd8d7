//! Named kernels: every way of every operator gives the same bits, and a program says how long they take.

#[path = "support/tested.rs"]
mod tested;

use graph::testing::{ToyConfig, toy_model, upload};
use graph::{Backend, Batch, KvType, Limits};
use kernels::{Choice, Cpu, CpuOptions, Isa, Kernel, Program, RowClass};
use tensor::DType;
use tested::is_tested;

const LIMITS: Limits =
    Limits { max_tokens: 128, max_outputs: 128, kv_blocks: 64, block_len: 16, kv_type: KvType::F16, state_slots: 0 };

fn compiled(isa: Isa, dtype: DType, experts: Option<(usize, usize)>) -> (Cpu, Program) {
    let cpu = Cpu::new(CpuOptions { threads: Some(1), isa: Some(isa), ..CpuOptions::default() });
    let config = ToyConfig { dtype, experts, ..ToyConfig::default() };
    let (graph, weights) = toy_model(&config);
    let graph = graph::fuse(&graph, cpu.device().rules, &[]).expect("rules that exist").graph;
    let weights = upload(&cpu, &graph, &weights);
    let program = cpu.compile(&graph, weights, LIMITS).expect("memory");
    (cpu, program)
}

/// The logits of steps of one row, some and many; two sequences are long enough for splits.
fn logits(cpu: &Cpu, program: &mut Program) -> Vec<u32> {
    let mut all = vec![];
    for (rows, position) in [(100, 0), (100, 100), (100, 200), (100, 300), (70, 0), (1, 400), (5, 401), (20, 406)] {
        let mut batch = Batch::default();
        let tokens: Vec<u32> = (0..rows as u32).map(|i| (i * 7 + position as u32) % 67).collect();
        let first = if rows == 70 { 40 } else { 0 };
        batch.push(&tokens, position, first..first + (position + rows).div_ceil(16) as u32);
        batch.outputs = (0..rows as u32).collect();
        cpu.run(program, &batch).expect("a batch within limits");
        all.extend(cpu.download(program).iter().map(|x| x.to_bits()));
    }
    all
}

/// Every node with this kernel, for all rows.
fn everywhere(program: &Program, kernel: Kernel) -> Choice {
    vec![[kernel; 4]; program.tuning().ways().len()]
}

/// The names of all ways that any node has.
fn names(program: &Program) -> Vec<String> {
    let mut names: Vec<String> = program.tuning().ways().iter().flatten().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_kernel_gives_the_same_bits() {
    let types =
        [(DType::F32, None), (DType::F16, None), (DType::BF16, None), (DType::Q8_0, None), (DType::Q8_0, Some((4, 2)))];
    for (dtype, experts) in types.into_iter().chain([DType::Q4_0, DType::Q5_1].map(|dtype| (dtype, None))) {
        for isa in Isa::available().filter(|isa| is_tested(isa)) {
            let (cpu, mut program) = compiled(isa, dtype, experts);
            let wanted = logits(&cpu, &mut program);
            let names = names(&program);
            for kernel in names.iter().map(|name| name.parse::<Kernel>().expect("a name")) {
                for tiles in [None, Some(2)] {
                    let kernel = kernel.with_tiles(tiles);
                    program.tuning().choose(everywhere(&program, kernel));
                    assert!(logits(&cpu, &mut program) == wanted, "{dtype} {isa:?} {kernel}");
                }
            }
            let some = ["auto", "registers", "held", "decoded", "pairs", "whole", "split"];
            assert!(names.len() >= 4 && some.contains(&names[1].as_str()), "{dtype} {isa:?}: {names:?}");
        }
    }
}

#[test]
fn a_kernel_that_a_node_does_not_have_is_auto_there() {
    let (_, program) = compiled(Isa::detect(), DType::Q8_0, None);
    let held: Kernel = "held/8".parse().expect("a name");
    program.tuning().choose(vec![[held; 4]; 1]);
    assert_eq!(program.tuning().chosen().len(), program.tuning().ways().len());
    program.tuning().choose(everywhere(&program, held));
    for (chosen, ways) in program.tuning().chosen().iter().zip(program.tuning().ways()) {
        let has = ways.iter().any(|way| way.way() == "held");
        assert_eq!(*chosen, if has { [held; 4] } else { [Kernel::default(); 4] }, "{ways:?}");
    }
}

#[test]
fn nodes_are_timed_while_that_is_wanted() {
    let (cpu, mut program) = compiled(Isa::detect(), DType::F32, None);
    logits(&cpu, &mut program);
    assert!(program.tuning().take_times().iter().flatten().all(|time| time.steps == 0));
    program.tuning().measure(true);
    logits(&cpu, &mut program);
    program.tuning().measure(false);
    logits(&cpu, &mut program);
    for times in program.tuning().take_times() {
        let steps = RowClass::ALL.map(|class| times[class as usize].steps);
        assert_eq!(steps, [1, 1, 1, 5]);
        assert!(times.iter().all(|time| !time.total.is_zero()));
    }
}

#[test]
fn other_kernels_are_tried_on_a_share_of_the_steps() {
    let (cpu, mut program) = compiled(Isa::detect(), DType::Q8_0, None);
    let wanted = logits(&cpu, &mut program);
    let candidate = everywhere(&program, "registers/2".parse().expect("a name"));
    for (share, expect) in [(0.0, 0..=0), (0.5, 20..=60), (1.0, 80..=80)] {
        program.tuning().try_out(candidate.clone(), share, 7);
        for _ in 0..10 {
            assert!(logits(&cpu, &mut program) == wanted, "{share}");
        }
        let steps = program.tuning().take_steps();
        assert_eq!((steps.len(), steps[0].rows, steps[5].rows, steps[5].context), (80, 100, 1, 401));
        assert!(expect.contains(&steps.iter().filter(|step| step.candidate).count()), "{share}");
        program.tuning().end_trial();
        logits(&cpu, &mut program);
        assert!(program.tuning().take_steps().is_empty());
    }
}
