//! Which variant to take, why, and which it beats.

use serde::{Deserialize, Serialize};

use super::{Report, Variant};

/// Mean divergence up to which a variant is hardly told from the reference, in nats: what is aimed for where nothing else is said.
pub const CLOSE: f64 = 0.05;

/// What a variant must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Bytes of its file at most.
    Size(u64),
    /// Mean divergence at most, in nats.
    Loss(f64),
    /// Decode speed at least, as a multiple of the reference's.
    Speed(f64),
}

/// A variant that is recommended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Its name.
    pub name: String,
    /// Why, in words.
    pub why: String,
    /// The variants that it beats: it is at least as small and as good as each.
    pub beats: Vec<String>,
}

impl Limit {
    fn is_kept(self, variant: &Variant, report: &Report) -> bool {
        match self {
            Limit::Size(bytes) => variant.bytes <= bytes,
            Limit::Loss(loss) => variant.kl_mean <= loss,
            Limit::Speed(times) => variant.relative_speed(&report.reference).is_some_and(|speed| speed.decode >= times),
        }
    }
}

/// Whether there is a reason to take it instead of the reference, which is closer to itself than anything: it is smaller, or faster.
fn gains(variant: &Variant, report: &Report) -> bool {
    let faster = || variant.relative_speed(&report.reference).is_some_and(|speed| speed.decode > 1.0);
    variant.bytes < report.reference.bytes || faster()
}

/// The variant to take, of those that are smaller or faster than the reference, that keep to all limits and that no other one dominates:
/// within a loss or at a speed the smallest, else the best. Without limits it is the smallest that is hardly told from the reference.
/// `None` if there is no such variant.
pub fn recommend(report: &Report, limits: &[Limit]) -> Option<Recommendation> {
    let variants = &report.variants;
    let is_best = |v: &&Variant| {
        !v.kl_mean.is_nan() && gains(v, report) && !variants.iter().any(|other| v.is_dominated_by(other))
    };
    let candidates: Vec<&Variant> = variants.iter().filter(is_best).collect();
    let kept = |limits: &[Limit]| {
        let keeps = |v: &&&Variant| limits.iter().all(|limit| limit.is_kept(v, report));
        candidates.iter().filter(keeps).copied().collect::<Vec<_>>()
    };
    let within_loss = limits.iter().any(|limit| matches!(limit, Limit::Loss(_)));
    let (of, smallest) = match limits {
        [] if kept(&[Limit::Loss(CLOSE)]).is_empty() => (kept(&[]), false),
        [] => (kept(&[Limit::Loss(CLOSE)]), true),
        _ => (kept(limits), within_loss),
    };
    let chosen = if smallest {
        of.iter().min_by_key(|v| v.bytes)
    } else {
        of.iter().min_by(|a, b| a.kl_mean.total_cmp(&b.kl_mean))
    }?;
    let beats = variants.iter().filter(|v| v.is_dominated_by(chosen)).map(|v| v.name.clone()).collect();
    Some(Recommendation { name: chosen.name.clone(), why: why(chosen, report, limits, smallest), beats })
}

fn why(chosen: &Variant, report: &Report, limits: &[Limit], smallest: bool) -> String {
    let said = |limit: &Limit| match limit {
        Limit::Size(bytes) => format!("of at most {:.1} MB", *bytes as f64 / 1e6),
        Limit::Loss(loss) => format!("with a mean divergence of at most {loss}"),
        Limit::Speed(times) => format!("with at least {times} times the reference's decode speed"),
    };
    let asked: Vec<String> = limits.iter().map(said).collect();
    let which = match (smallest, limits) {
        (true, []) => format!("the smallest with a mean divergence of at most {CLOSE}"),
        (false, []) => "the closest to the reference; none is so close that it is hardly told from it".into(),
        (true, _) => format!("the smallest {}", asked.join(" and ")),
        (false, _) => format!("the closest to the reference {}", asked.join(" and ")),
    };
    let size = 100.0 * (1.0 - chosen.bytes as f64 / report.reference.bytes.max(1) as f64);
    format!(
        "{which}: {size:.0} % smaller than the reference, mean divergence {:.4}, the same most likely token at {:.1} % of positions, \
         perplexity {:.3} instead of {:.3}",
        chosen.kl_mean,
        100.0 * chosen.top1,
        chosen.perplexity,
        report.reference.perplexity
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Baseline, Speed};
    use super::*;

    fn speed(decode: f64) -> Speed {
        Speed { prefill: 1.0, decode, streams: 1.0 }
    }

    fn report() -> Report {
        let variant = |name: &str, bytes, kl_mean, decode| Variant {
            name: name.into(),
            bytes,
            kl_mean,
            measured: super::super::Measured { speed: Some(speed(decode)), ..Default::default() },
            ..Variant::default()
        };
        Report {
            reference: Baseline { bytes: 1000, speed: Some(speed(10.0)), ..Baseline::default() },
            variants: vec![
                variant("eight", 500, 0.001, 15.0),
                variant("five", 350, 0.02, 19.0),
                variant("four", 300, 0.04, 22.0),
                variant("other four", 310, 0.06, 22.0),
                variant("three", 200, 0.3, 25.0),
                variant("broken", 100, f64::NAN, 30.0),
                variant("no smaller, no faster", 1000, 0.0, 10.0),
            ],
            ..Report::default()
        }
    }

    fn check(limits: &[Limit], name: Option<&str>, beats: &[&str]) {
        let found = recommend(&report(), limits);
        assert_eq!(found.as_ref().map(|f| f.name.as_str()), name, "{limits:?}");
        assert_eq!(found.map(|f| f.beats).unwrap_or_default(), beats, "{limits:?}");
    }

    #[test]
    fn a_variant_is_recommended_by_what_is_asked() {
        check(&[], Some("four"), &["other four"]);
        check(&[Limit::Size(400)], Some("five"), &[]);
        check(&[Limit::Size(320), Limit::Loss(0.1)], Some("four"), &["other four"]);
        check(&[Limit::Loss(0.01)], Some("eight"), &[]);
        check(&[Limit::Speed(2.0)], Some("four"), &["other four"]);
        check(&[Limit::Speed(9.0)], None, &[]);
        // What is dominated is never recommended, nor what is no number.
        check(&[Limit::Size(310)], Some("four"), &["other four"]);
        check(&[Limit::Size(150)], None, &[]);
        // The reference itself is better.
        check(&[Limit::Loss(0.0005)], None, &[]);
    }
}
