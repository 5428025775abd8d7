//! Whole models with any of the rules: the same numbers, in no more memory, with less traffic.

use graph::testing::{LAYOUT, ToyConfig, ToyRecurrence, toy_model};
use graph::{Fused, Graph, HeadOrder, KvType, Limits, Op, Plan, Rows, Traffic, fuse, rules, validate};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tensor::DType;

fn graph(config: &ToyConfig) -> Graph {
    toy_model(config).0
}

/// Models small enough for the interpreter, of every kind.
fn configs() -> impl Strategy<Value = ToyConfig> {
    let sizes = (0..4_usize, 1..3_usize, 1..3_usize, 1..4_usize, 1..3_usize);
    let dtypes = prop::sample::select(vec![DType::F32, DType::F16, DType::Q8_0, DType::Q4_0]);
    let kinds = (prop::option::of(1..6_usize), prop::option::of(1.0..9.0_f32), any::<bool>());
    let experts = prop::option::of((2..5_usize).prop_flat_map(|all| (Just(all), 1..=all)));
    let delta = any::<bool>().prop_map(|by_row| ToyRecurrence::Delta { order: HeadOrder::Tiled, by_row });
    let recurrence = prop_oneof![(2..8_usize).prop_map(ToyRecurrence::Conv), delta, Just(ToyRecurrence::Scan(2))];
    let rest = (experts, prop::option::of(recurrence));
    (sizes, dtypes, kinds, rest).prop_map(|(sizes, dtype, (window, softcap, sinks), (experts, recurrent))| {
        let (layers, width, hidden, kv_heads, group) = sizes;
        let (width, hidden, heads) = (32 * width, 32 * hidden, kv_heads * group);
        let sizes = ToyConfig {
            vocab: 19,
            layers,
            width,
            hidden,
            heads: (heads, kv_heads),
            head_dim: 32,
            ..ToyConfig::default()
        };
        ToyConfig { dtype, window, softcap, sinks, experts, recurrent, ..sizes }
    })
}

/// The names of the rules for which `keep` does not hold.
fn all_but(keep: impl Fn(usize, &str) -> bool) -> Vec<&'static str> {
    rules().iter().enumerate().filter(|(i, rule)| !keep(*i, rule.name)).map(|(_, rule)| rule.name).collect()
}

/// Words that a batch of prompts needs, of which few rows are sampled.
fn words(graph: &Graph) -> usize {
    let (kv_type, state_slots) = (KvType::F32, 0);
    let limits = Limits { max_tokens: 24, max_outputs: 5, kv_blocks: 1, block_len: 1, kv_type, state_slots };
    Plan::new(graph, &LAYOUT, &limits).words
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn fused_agrees_with_unfused(
        config in configs(),
        enabled in prop::collection::vec(prop::bool::weighted(0.7), rules().len()),
        seed in any::<u64>(),
    ) {
        let graph = graph(&config);
        let disabled = all_but(|i, _| enabled[i]);
        let fused = fuse(&graph, rules(), &disabled).unwrap().graph;
        // The interpreter computes the same sums in the same order, so only rounding to 8 bits may change anything.
        let rounds = |name: &str| name == "quantize" && !disabled.contains(&name);
        let rounded = fuse(&graph, rules(), &all_but(|_, name| rounds(name))).unwrap().graph;
        prop_assert_eq!(validate(&rounded, &fused, seed).unwrap(), 0.0);
        // In rows as narrow as these a rounded element counts for much; of experts, rounding may choose others.
        let difference = validate(&graph, &fused, seed).unwrap();
        prop_assert!(config.experts.is_some() || difference < 0.2, "{} with {disabled:?}", difference);
        // With every rule; some alone make values live together that did not.
        let [before, after] = [&graph, &fuse(&graph, rules(), &[]).unwrap().graph].map(words);
        prop_assert!(after <= before, "{} words instead of {}", after, before);
        let again = fuse(&fused, rules(), &disabled).unwrap();
        prop_assert!(again.fired.iter().all(|(_, times)| *times == 0), "{:?}", again.fired);
        prop_assert_eq!(again.graph, fused);
    }
}

/// What becomes of a model with every rule: how often each fired and which operators are left.
fn check(config: &ToyConfig, fired: [usize; 10], operators: &str) {
    let fused = fuse(&graph(config), rules(), &[]).unwrap();
    assert_eq!(fused.fired.iter().map(|(_, times)| *times).collect::<Vec<_>>(), fired, "{config:?}");
    let names: Vec<&str> = fused.graph.nodes().iter().map(|node| node.op.name()).collect();
    assert_eq!(names.join(" "), operators);
}

#[test]
fn what_is_left_of_a_layer() {
    let config = ToyConfig { layers: 1, dtype: DType::Q8_0, ..ToyConfig::default() };
    let operators = "embed scale rms_norm product rms_norm rope_kv_write attention select_outputs select_outputs quantize \
        product rms_norm product product rms_norm linear";
    check(&config, [10, 1, 2, 1, 2, 5, 3, 1, 1, 1], operators);
    let experts = "embed scale rms_norm product rms_norm rope_kv_write attention select_outputs select_outputs quantize \
        product rms_norm linear top_k gate_weights quantize expert_linear expert_linear glu quantize expert_linear \
        expert_bias expert_sum add rms_norm linear";
    check(&ToyConfig { experts: Some((4, 2)), ..config.clone() }, [15, 1, 1, 0, 1, 5, 2, 0, 1, 1], experts);
    let floats = "embed scale rms_norm product rms_norm rope_kv_write attention select_outputs select_outputs product \
        rms_norm product product rms_norm linear";
    check(&ToyConfig { dtype: DType::F32, ..config }, [10, 1, 2, 1, 2, 0, 0, 0, 1, 1], floats);
}

#[test]
fn after_the_last_attention_only_sampled_rows() {
    for experts in [None, Some((4, 2))] {
        let Fused { graph, .. } =
            fuse(&graph(&ToyConfig { layers: 3, experts, ..ToyConfig::default() }), rules(), &[]).unwrap();
        let last = graph.nodes().iter().rposition(|node| matches!(node.op, Op::Attention(_))).unwrap();
        for (i, node) in graph.nodes().iter().enumerate() {
            let wanted = if i > last { Rows::Outputs } else { Rows::Tokens };
            assert!(node.outputs.iter().all(|&id| graph.value(id).rows == wanted), "{}", graph.line(node));
        }
    }
}

#[test]
fn less_is_moved() {
    for (dtype, most) in [(DType::Q8_0, 0.5), (DType::F32, 0.7)] {
        let config = ToyConfig { width: 64, hidden: 352, heads: (2, 1), layers: 4, dtype, ..ToyConfig::default() };
        let before = graph(&config);
        let [before, after] =
            [&before, &fuse(&before, rules(), &[]).unwrap().graph].map(|graph| Traffic::new(graph, &LAYOUT));
        assert_eq!(after.weights, before.weights);
        let [moved_before, moved_after] = [before, after].map(|traffic| (traffic.read + traffic.written) as f64);
        assert!(moved_after <= most * moved_before, "{dtype}: {before:?} {after:?}");
    }
}
