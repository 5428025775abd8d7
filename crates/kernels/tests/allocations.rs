//! A step allocates nothing: counted by the allocator of this test's process, which has no other test.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use graph::testing::{ToyConfig, ToyRecurrence, toy_model, upload};
use graph::{Backend, Batch, HeadOrder, KvType, Limits};
use kernels::{Cpu, CpuOptions};

static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_allocates_nothing() {
    let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() });
    let (kv_type, state_slots) = (KvType::F16, 3);
    let limits = Limits { max_tokens: 40, max_outputs: 40, kv_blocks: 40, block_len: 16, kv_type, state_slots };
    let all: Vec<&str> = graph::rules().iter().map(|rule| rule.name).collect();
    let delta = ToyRecurrence::Delta { order: HeadOrder::Tiled, by_row: false };
    let kinds =
        [(None, ToyRecurrence::Conv(4), &all[..]), (None, delta, &[]), (Some((5, 2)), ToyRecurrence::Scan(2), &[])];
    for (experts, recurrent, disabled) in kinds {
        let config = ToyConfig { experts, window: Some(9), recurrent: Some(recurrent), ..ToyConfig::default() };
        let (graph, weights) = toy_model(&config);
        let graph = graph::fuse(&graph, graph::rules(), disabled).expect("rules that exist").graph;
        let mut program = cpu.compile(&graph, upload(&cpu, &graph, &weights), limits).expect("memory");
        let mut batches: [Batch; 4] = Default::default();
        batches[0].push_with_state(&[1; 5], 0, [0], Some(0));
        batches[1].push_with_state(&[2; 30], 0, [1, 2], Some(1));
        batches[1].push_with_state(&[3], 5, [0], Some(0));
        batches[1].outputs.extend([29, 30]);
        batches[1].copies.push((0, 3));
        batches[1].state_copies.push((0, 2));
        batches[2].push_with_state(&[4; 40], 0, [4, 5, 6], Some(2));
        batches[2].outputs.extend(0..40);
        batches[3].push_with_state(&[5], 600, 0..38, Some(0));
        let mut rounds = (0..20).map(|_| {
            let before = COUNT.load(Relaxed);
            batches.iter().for_each(|batch| cpu.run(&mut program, batch).expect("a batch within limits"));
            COUNT.load(Relaxed) - before
        });
        // A thread that is just starting, and the test's harness, may allocate beside one of the rounds, not all.
        assert!(rounds.any(|count| count == 0), "every step allocates");
    }
}
