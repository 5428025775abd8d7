//! Baselines: what has regressed, what may be chance, and what is noticed while it runs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use release::{Allowed, Baseline, Sample, Standing, Watch, regressed};

/// Requests of two lengths that take about `slow` × 1 ms for each token, of which every `fails`th fails.
fn sample(rng: &mut ChaCha8Rng, i: u64, slow: f64, fails: u64) -> Sample {
    let noise = 0.8 + 0.4 * (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let prompt_tokens = if i.is_multiple_of(2) { 100 } else { 1000 };
    let total = (prompt_tokens as f64 * 1000.0 * slow * noise) as u64;
    Sample { prompt_tokens, total, tokens: 50, failed: fails > 0 && i.is_multiple_of(fails) }
}

fn baseline(count: u64, slow: f64, fails: u64) -> Baseline {
    let mut rng = ChaCha8Rng::seed_from_u64(count + fails);
    let mut baseline =
        Baseline { quality: [("cloze".to_string(), 0.8)].into(), memory: 1 << 30, ..Baseline::default() };
    (1..=count).for_each(|i| baseline.record(&sample(&mut rng, i, slow, fails)));
    serde_json::from_str(&serde_json::to_string(&baseline).unwrap()).unwrap()
}

/// Compares with a baseline of 2,000 requests; the names of all that is not kept begin as expected.
fn check(name: &str, now: &Baseline, expected: &[(&str, Standing)]) {
    let rows = baseline(2000, 1.0, 100).compare(now, &Allowed::default());
    let found: Vec<_> = rows.iter().filter(|r| r.standing != Standing::Kept).collect();
    let same = found.iter().zip(expected).all(|(r, e)| r.name.starts_with(e.0) && r.standing == e.1);
    assert!(same && found.len() == expected.len() && rows.len() == 8, "{name}: {rows:#?}");
    assert_eq!(regressed(&rows), expected.iter().any(|e| e.1 == Standing::Regressed));
}

#[test]
fn regressions() {
    use Standing::{Doubtful, Regressed};
    check("the same", &baseline(1000, 1.0, 100), &[]);
    check("faster", &baseline(1000, 0.5, 0), &[]);
    let (short, long) = ("time of requests up to 128 tokens (p50)", "time of requests up to 1024 tokens (p50)");
    let tokens = "time per token";
    let slower = [(short, Regressed), (long, Regressed)];
    check("slower", &baseline(2000, 1.25, 100), &[&slower[..], &[(tokens, Doubtful)]].concat());
    let few = [(short, Doubtful), (long, Doubtful), (tokens, Doubtful)];
    check("slower, but few", &baseline(8, 1.25, 100), &few);
    check("failing", &baseline(2000, 1.0, 10), &[("failures", Regressed)]);
    let worse = Baseline { quality: [("cloze".to_string(), 0.7)].into(), memory: 2 << 30, ..baseline(1000, 1.0, 100) };
    check("worse", &worse, &[("quality: cloze", Regressed), ("memory", Regressed)]);
    let rows = baseline(2000, 1.0, 100).compare(&Baseline::default(), &Allowed::default());
    assert!(rows.iter().all(|r| r.standing == Regressed && r.now.is_none()), "{rows:?}");
}

/// After how many requests a watch raises the alarm, at most `count`, and with which word.
fn alarm(slow: f64, fails: u64, count: u64) -> Option<(u64, String)> {
    let mut watch = Watch::new(&baseline(2000, 1.0, 100), &Allowed::default(), 1e5);
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    (1..=count).find_map(|i| watch.record(&sample(&mut rng, i, slow, fails)).map(|why| (i, why)))
}

#[test]
fn watched() {
    assert_eq!(alarm(1.0, 100, 30_000), None);
    let (after, why) = alarm(1.2, 100, 1000).unwrap();
    assert!(after < 150 && why.contains("take longer than"), "{after}: {why}");
    let (after, why) = alarm(1.0, 8, 2000).unwrap();
    assert!(after < 600 && why.contains("fail"), "{after}: {why}");
}
