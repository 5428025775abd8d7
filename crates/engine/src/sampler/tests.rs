//! The sampler against goldens, against its own definition, and against hostile numbers.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Penalties, Words, Xtc};

const NOTHING: Draw<'static> = Draw { prompt: &[], answer: &[], banned: &[], allowed: None, seed: 0 };

#[test]
fn agrees_with_the_goldens() {
    let golden: Value = serde_json::from_str(include_str!("../../tests/fixtures/sampler.json")).unwrap();
    let rows: Vec<Vec<f32>> = serde_json::from_value(golden["rows"].clone()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 90);
    let mut sampler = Sampler::new();
    cases.iter().for_each(|case| check(&mut sampler, &rows[case["row"].as_u64().unwrap() as usize], case));
}

fn check(sampler: &mut Sampler, logits: &[f32], case: &Value) {
    let tokens = |name: &str| -> Vec<u32> { serde_json::from_value(case[name].clone()).unwrap() };
    let pairs = |name: &str| -> Vec<(u32, f32)> { serde_json::from_value(case[name].clone()).unwrap() };
    let (prompt, answer, banned) = (tokens("prompt"), tokens("answer"), tokens("banned"));
    let draw = Draw { prompt: &prompt, answer: &answer, banned: &banned, allowed: None, seed: 3 };
    let params = SamplingParams { logit_bias: pairs("bias"), logprobs: Some(5), ..params(case) };
    let mut distribution = sampler.distribution(logits, &params, &draw).unwrap();
    distribution.sort_by_key(|(id, _)| *id);
    near(&distribution, &pairs("distribution"), case);
    let chosen = sampler.sample(logits, &params, &draw).unwrap();
    assert!(distribution.iter().any(|(id, _)| *id == chosen.id), "{chosen:?} in {case}");
    let greedy = sampler.sample(logits, &SamplingParams { temperature: 0.0, ..params }, &draw).unwrap();
    assert_eq!(u64::from(greedy.id), case["greedy"].as_u64().unwrap(), "{case}");
    near(&greedy.top, &pairs("top"), case);
}

fn params(case: &Value) -> SamplingParams {
    let number = |name: &str, silent: f64| case[name].as_f64().unwrap_or(silent) as f32;
    SamplingParams {
        temperature: number("temperature", 1.0),
        top_k: case["top_k"].as_u64().unwrap_or(0) as usize,
        top_p: number("top_p", 1.0),
        min_p: number("min_p", 0.0),
        typical_p: number("typical_p", 1.0),
        penalties: Penalties {
            repetition: number("repetition", 1.0),
            frequency: number("frequency", 0.0),
            presence: number("presence", 0.0),
        },
        ..SamplingParams::default()
    }
}

fn near(ours: &[(u32, f32)], golden: &[(u32, f32)], case: &Value) {
    let ids = |list: &[(u32, f32)]| list.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids(ours), ids(golden), "{case}");
    for (ours, golden) in ours.iter().zip(golden) {
        assert!((ours.1 - golden.1).abs() <= 2e-5 * golden.1.abs() + 1e-9, "{ours:?}, not {golden:?}, in {case}");
    }
}

#[test]
fn draws_follow_the_distribution() {
    let logits: Vec<f32> = (0..10).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
    let filtered = SamplingParams { top_p: 0.9, ..SamplingParams::default() };
    for params in [SamplingParams::default(), filtered] {
        let mut sampler = Sampler::new();
        let distribution = sampler.distribution(&logits, &params, &NOTHING).unwrap();
        let mut counts = [0.0; 10];
        let draws = 20_000;
        for seed in 0..draws {
            counts[sampler.sample(&logits, &params, &Draw { seed, ..NOTHING }).unwrap().id as usize] += 1.0;
        }
        for (id, probability) in distribution {
            let expected = f64::from(probability) * draws as f64;
            let off = (counts[id as usize] - expected) / expected.sqrt();
            assert!(off.abs() < 4.0, "token {id}: {} draws where {expected} are due", counts[id as usize]);
        }
    }
}

#[test]
fn a_draw_depends_on_the_seed_and_the_index_alone() {
    let logits = vec![0.0; 1000];
    let mut sampler = Sampler::new();
    let mut choose = |seed, index| {
        let draw = Draw { answer: &vec![0; index], seed, ..NOTHING };
        sampler.sample(&logits, &SamplingParams::default(), &draw).unwrap().id
    };
    let first: Vec<u32> = (0..8).map(|index| choose(5, index)).collect();
    let again: Vec<u32> = (0..8).rev().map(|index| choose(5, index)).collect();
    assert!(first.iter().eq(again.iter().rev()));
    assert!((0..8).any(|index| choose(6, index) != first[index]));
    // Pinned: the same seed must give the same answer in every release and on every platform.
    assert_eq!(first, [201, 231, 988, 777, 855, 298, 863, 882]);
}

#[test]
fn bad_numbers_are_errors_and_ties_go_to_the_lowest_id() {
    let (nan, inf, none) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    let check = |logits: &[f32], params: &SamplingParams, expect: Result<u32, SampleError>| {
        let chosen = Sampler::new().sample(logits, params, &Draw { banned: &[2, 99], ..NOTHING });
        assert_eq!(chosen.map(|token| token.id), expect, "{logits:?}");
    };
    let greedy = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let one = SamplingParams { top_k: 1, ..SamplingParams::default() };
    let biased = SamplingParams { logit_bias: vec![(1, inf), (1 << 30, 1.0)], ..greedy.clone() };
    check(&[1.0, 2.0, 9.0, 2.0], &greedy, Ok(1));
    check(&[1.0, 2.0, 9.0, 2.0], &one, Ok(1));
    check(&[1.0, 2.0, 9.0, 2.0], &SamplingParams { logprobs: Some(99), ..one.clone() }, Ok(1));
    check(&[1.0, 2.0, 9.0, 2.0], &SamplingParams { top_p: 0.0, min_p: 7.0, ..one.clone() }, Ok(1));
    check(&[1.0, 2.0, 9.0, 2.0], &SamplingParams { top_p: 0.0, typical_p: 0.0, ..SamplingParams::default() }, Ok(1));
    check(&[1.0, nan, 9.0], &greedy, Err(SampleError::NotFinite));
    check(&[1.0, inf, 9.0], &one, Err(SampleError::NotFinite));
    check(&[1.0, 2.0, 9.0], &biased, Err(SampleError::NotFinite));
    check(&[none, none, 9.0], &one, Err(SampleError::NothingAllowed));
    check(&[none, none, none, 1.0], &SamplingParams::default(), Ok(3));
    check(&[], &greedy, Err(SampleError::NothingAllowed));
}

#[test]
fn a_mask_is_as_good_as_logits_of_minus_infinity() {
    let logits: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin() * 4.0).collect();
    let mut allowed = TokenSet::new(100);
    (0..100).filter(|i| i % 3 == 1 || *i == 99).for_each(|token| allowed.allow(token));
    let inside = |(id, logit): (usize, &f32)| if allowed.contains(id as u32) { *logit } else { f32::NEG_INFINITY };
    let masked: Vec<f32> = logits.iter().enumerate().map(inside).collect();
    let neutral = SamplingParams::default();
    let penalties = Penalties { repetition: 1.3, frequency: 0.2, presence: 0.1 };
    for params in [
        neutral.clone(),
        SamplingParams { temperature: 0.0, ..neutral.clone() },
        SamplingParams { top_p: 0.8, penalties, logit_bias: vec![(0, 50.0), (1, 2.0)], ..neutral.clone() },
        SamplingParams { top_k: 7, typical_p: 0.9, min_p: 0.01, ..neutral },
    ] {
        let draw = Draw { prompt: &[1, 2, 4], answer: &[4, 7, 7], allowed: Some(&allowed), ..NOTHING };
        let mut sampler = Sampler::new();
        let by_mask = sampler.distribution(&logits, &params, &draw).unwrap();
        assert_eq!(by_mask, sampler.distribution(&masked, &params, &Draw { allowed: None, ..draw }).unwrap());
        assert!(!by_mask.is_empty() && by_mask.iter().all(|(id, _)| allowed.contains(*id)), "{params:?}");
        // Log-probabilities are those of the model, whatever the mask.
        let params = SamplingParams { logprobs: Some(4), ..params };
        let [restricted, free] =
            [Some(&allowed), None].map(|allowed| sampler.sample(&logits, &params, &Draw { allowed, ..draw }).unwrap());
        assert_eq!(restricted.top, free.top);
    }
    let empty = TokenSet::new(100);
    let draw = Draw { allowed: Some(&empty), ..NOTHING };
    assert_eq!(Sampler::new().sample(&logits, &SamplingParams::default(), &draw), Err(SampleError::EmptyMask));
}

#[test]
fn only_allowed_tokens_come_and_no_bad_sequences() {
    let logits: Vec<f32> = (0..10).map(|i| i as f32).collect();
    let check = |allowed: Option<&[u32]>, bad: &[&[u32]], answer: &[u32], expected: Result<u32, SampleError>| {
        let mut set = TokenSet::new(10);
        allowed.unwrap_or_default().iter().for_each(|token| set.allow(*token));
        let words = Words { allowed: allowed.map(|_| Arc::new(set)), bad: bad.iter().map(|b| Box::from(*b)).collect() };
        let params = SamplingParams { words, temperature: 0.0, ..SamplingParams::default() };
        let chosen = Sampler::new().sample(&logits, &params, &Draw { prompt: &[3, 7], answer, ..NOTHING });
        assert_eq!(chosen.map(|token| token.id), expected, "{allowed:?} {bad:?} {answer:?}");
    };
    check(None, &[], &[], Ok(9));
    check(Some(&[2, 5, 99]), &[], &[], Ok(5));
    check(Some(&[2, 5]), &[&[5]], &[], Ok(2));
    check(Some(&[]), &[], &[], Err(SampleError::NothingAllowed));
    check(None, &[&[9], &[], &[3, 8]], &[], Ok(8));
    check(None, &[&[9], &[3, 8]], &[3], Ok(7));
    check(None, &[&[1, 3, 9]], &[3], Ok(9));
    check(None, &[&[1, 3, 9]], &[1, 3], Ok(8));
}

/// By llama.cpp: which tokens stay of these probabilities.
#[test]
fn xtc_keeps_the_least_likely_of_the_likely() {
    let check = |probabilities: &[f32], threshold: f32, params: SamplingParams, kept: &[u32]| {
        let logits: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
        let params = SamplingParams { xtc: Xtc { probability: 1.0, threshold }, ..params };
        let mut found = Sampler::new().distribution(&logits, &params, &NOTHING).unwrap();
        found.sort_by_key(|(id, _)| *id);
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), kept, "{probabilities:?} {threshold}");
        assert!((found.iter().map(|(_, p)| *p).sum::<f32>() - 1.0).abs() < 1e-4);
    };
    let p = [0.1, 0.2, 0.3, 0.4];
    let neutral = SamplingParams::default();
    check(&p, 0.099, neutral.clone(), &[0]);
    check(&p, 0.19, neutral.clone(), &[0, 1]);
    check(&p, 0.35, neutral.clone(), &[0, 1, 2, 3]);
    check(&p, 0.51, neutral.clone(), &[0, 1, 2, 3]);
    // The temperature has no say, other filters come before.
    check(&p, 0.19, SamplingParams { temperature: 0.3, ..neutral.clone() }, &[0, 1]);
    check(&p, 0.35, SamplingParams { top_k: 2, ..neutral.clone() }, &[2]);
    check(&p, 0.35, SamplingParams { top_k: 1, ..neutral }, &[3]);
}

#[test]
fn guards_against_repetition_agree_with_the_goldens() {
    let golden: Value = serde_json::from_str(include_str!("../../tests/fixtures/repetition.json")).unwrap();
    let tokens = |list: &Value| -> Vec<u32> { serde_json::from_value(list.clone()).unwrap() };
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    let count = |value: &Value| value.as_u64().unwrap() as usize;
    let (mut penalized, mut excluded) = (0, 0);
    for case in golden["dry"].as_array().unwrap() {
        let history = tokens(&case["history"]);
        let (multiplier, base) = (number(&case["multiplier"]), number(&case["base"]));
        let (allowed_length, last) = (count(&case["allowed_length"]), count(&case["last"]));
        let dry = Dry { multiplier, base, allowed_length, last, breakers: Arc::default() };
        let params = SamplingParams { dry: Some(dry), ..SamplingParams::default() };
        let mut sampler = Sampler::new();
        sampler.adjust(&[0.0; 16], &params, &Draw { answer: &history, ..NOTHING }).unwrap();
        let ours: Vec<(u32, f32)> =
            (0..).zip(&sampler.row).filter(|(_, logit)| **logit != 0.0).map(|(id, logit)| (id, -logit)).collect();
        let theirs: Vec<(u32, f32)> = serde_json::from_value(case["penalties"].clone()).unwrap();
        near(&ours, &theirs, case);
        penalized += usize::from(!theirs.is_empty());
    }
    for case in golden["xtc"].as_array().unwrap() {
        let logits: Vec<f32> = serde_json::from_value(case["logits"].clone()).unwrap();
        let xtc = Xtc { probability: 1.0, threshold: number(&case["threshold"]) };
        let params = SamplingParams { xtc, ..SamplingParams::default() };
        let kept = Sampler::new().distribution(&logits, &params, &NOTHING).unwrap();
        let mut kept: Vec<u32> = kept.into_iter().map(|(id, _)| id).collect();
        kept.sort_unstable();
        assert_eq!(kept, tokens(&case["kept"]), "{case}");
        excluded += usize::from(kept.len() < logits.len());
    }
    assert!(penalized > 20 && excluded > 20, "{penalized} {excluded}");
}

#[test]
fn xtc_takes_part_as_often_as_it_should() {
    let params = SamplingParams { xtc: Xtc { probability: 0.25, threshold: 0.1 }, ..SamplingParams::default() };
    let parts = (0..4000).filter(|seed| xtc(&params, &Draw { seed: *seed, ..NOTHING }).is_some()).count();
    assert!((900..1100).contains(&parts), "{parts}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The gathering by thresholds and the piecewise sorting keep what plain definitions keep.
    #[test]
    fn filters_keep_what_their_definitions_keep(
        logits in prop::collection::vec((-40i32..40).prop_map(|x| x as f32 / 4.0), 1..700),
        top_k in 0usize..200,
        top_p in 0.01f32..1.2,
        min_p in prop_oneof![Just(0.0f32), 0.001f32..0.5],
    ) {
        let params = SamplingParams { top_k, top_p, min_p, ..SamplingParams::default() };
        let kept = Sampler::new().distribution(&logits, &params, &NOTHING).unwrap();
        prop_assert_eq!(kept.len(), plainly(&logits, &params), "{:?}", params);
        prop_assert!((kept.iter().map(|(_, p)| f64::from(*p)).sum::<f64>() - 1.0).abs() < 1e-4);
    }

    /// No parameters and no numbers make it panic.
    #[test]
    fn nothing_makes_it_panic(
        logits in prop::collection::vec(any::<f32>(), 0..200),
        (temperature, top_p, min_p, typical_p) in any::<(f32, f32, f32, f32)>(),
        (repetition, frequency, presence, bias) in any::<(f32, f32, f32, f32)>(),
        (top_k, count) in any::<(usize, Option<usize>)>(),
    ) {
        let logits: Vec<f32> = logits.iter().map(|x| if x.is_finite() { *x } else { 0.0 }).collect();
        let params = SamplingParams {
            temperature, top_k, top_p, min_p, typical_p,
            penalties: Penalties { repetition, frequency, presence },
            logit_bias: vec![(1, bias)], seed: None, logprobs: count,
            dry: Some(Dry { multiplier: bias, base: temperature, allowed_length: top_k % 4, last: 9, breakers: Arc::default() }),
            xtc: Xtc { probability: top_p, threshold: min_p }, ..SamplingParams::default()
        };
        let draw = Draw { prompt: &[0, 1, u32::MAX], answer: &[1, 7], banned: &[3], allowed: None, seed: 1 };
        if let Ok(token) = Sampler::new().sample(&logits, &params, &draw) {
            prop_assert!((token.id as usize) < logits.len());
        }
    }
}

/// Settings by which the greatest logits choose a token, or nearly so.
fn of_the_greatest() -> impl Strategy<Value = SamplingParams> {
    let shares = (0.01f32..1.2, prop_oneof![Just(0.0f32), 0.001f32..0.5], prop_oneof![Just(1.0f32), 0.2f32..1.0]);
    let others = (prop_oneof![Just(0.0f32), 0.2f32..3.0], 1usize..40, prop::option::of(0usize..50), 0.0f32..1.0);
    (shares, others).prop_map(|((top_p, min_p, typical_p), (temperature, top_k, logprobs, probability))| {
        let xtc = Xtc { probability, threshold: 0.1 };
        SamplingParams { temperature, top_k, top_p, min_p, typical_p, logprobs, xtc, ..SamplingParams::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Few values, so that many are equal, or fine ones, so that many have the same weight; and some that are none.
    #[test]
    fn the_greatest_logits_choose_what_all_do(
        coarse in prop::collection::vec((-9i32..9).prop_map(|x| x as f32 / 4.0), 40..500),
        (fine, holes, bad) in (any::<bool>(), any::<bool>(), prop_oneof![9 => Just(0.0f32), 1 => Just(f32::NAN)]),
        params in of_the_greatest(),
        seed in any::<u64>(),
    ) {
        let scale = if fine { 1e-7 } else { 1.0 };
        let logit = |(i, x): (usize, &f32)| if holes && i % 3 > 0 { f32::NEG_INFINITY } else { 2.0 + x * scale + bad };
        let logits: Vec<f32> = coarse.iter().enumerate().map(logit).collect();
        let (top, draw) = (params.top(logits.len()), Draw { seed, ..NOTHING });
        prop_assume!(top > 0);
        let mut reduced = vec![];
        graph::reduce(&logits, top, &mut reduced);
        let tops = [top as u32];
        let graph::OutputRow::Top(row) = graph::Outputs::new(&reduced, logits.len(), &tops).row(0) else { panic!() };
        let [all, few] = [Sampler::new().sample(&logits, &params, &draw), Sampler::new().sample_top(&row, &params, &draw)];
        prop_assert_eq!(all.as_ref().map(|token| token.id), few.as_ref().map(|token| token.id));
        let (Ok(all), Ok(few)) = (all, few) else { return Ok(()) };
        prop_assert_eq!(all.top.len(), few.top.len());
        let near = |a: f32, b: f32| a == b || (a - b).abs() < 1e-5;
        prop_assert!(all.logprob.zip(few.logprob).is_none_or(|(a, b)| near(a, b)), "{:?} {:?}", all, few);
        prop_assert_eq!(all.logprob.is_some(), few.logprob.is_some());
        for (a, b) in all.top.iter().zip(&few.top) {
            prop_assert!(a.0 == b.0 && near(a.1, b.1), "{:?} {:?}", a, b);
        }
    }
}

#[test]
fn all_logits_are_asked_for_where_the_greatest_are_not_enough() {
    let check = |params: SamplingParams, top: usize| assert_eq!(params.top(50), top, "{params:?}");
    let greedy = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let few = SamplingParams { top_k: 40, top_p: 0.9, min_p: 0.05, ..SamplingParams::default() };
    check(greedy.clone(), 1);
    check(few.clone(), 40);
    check(SamplingParams { logprobs: Some(0), ..greedy.clone() }, 1);
    check(SamplingParams { logprobs: Some(5), ..greedy.clone() }, 5);
    check(SamplingParams { logprobs: Some(50), ..few.clone() }, 50);
    let penalized = |penalties| SamplingParams { penalties, ..greedy.clone() };
    let neutral = SamplingParams::default().penalties;
    let bad = [Box::from([1])].into();
    let dry = Dry { multiplier: 1.0, base: 1.75, allowed_length: 2, last: 9, breakers: Arc::default() };
    for all in [
        SamplingParams::default(),
        SamplingParams { min_p: 0.9, ..SamplingParams::default() },
        SamplingParams { top_p: 0.1, ..SamplingParams::default() },
        SamplingParams { top_k: 51, ..SamplingParams::default() },
        SamplingParams { logprobs: Some(51), ..few },
        SamplingParams { logit_bias: vec![(3, 1.0)], ..greedy.clone() },
        SamplingParams { words: Words { bad, ..Words::default() }, ..greedy.clone() },
        SamplingParams { words: Words { allowed: Some(Arc::default()), ..Words::default() }, ..greedy.clone() },
        SamplingParams { dry: Some(dry), ..greedy.clone() },
        penalized(Penalties { repetition: 1.1, ..neutral }),
        penalized(Penalties { frequency: 0.1, ..neutral }),
        penalized(Penalties { presence: 0.1, ..neutral }),
    ] {
        check(all, 0);
    }
}

/// How many tokens the filters keep, by their definitions.
fn plainly(logits: &[f32], params: &SamplingParams) -> usize {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut weights: Vec<f64> = logits.iter().map(|x| f64::from(x - max).exp()).collect();
    weights.sort_by(|a, b| b.total_cmp(a));
    weights.retain(|w| *w >= f64::from(params.min_p));
    if params.top_k > 0 {
        weights.truncate(params.top_k);
    }
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let reached = |w: &f64| {
        sum += w / total;
        sum >= f64::from(params.top_p) - 1e-7
    };
    weights.iter().position(reached).map_or(weights.len(), |last| last + 1)
}
