//! Sample-ratio mismatch: whether units were assigned in other shares than stated.
//!
//! After Lindon and Malek (2022, arXiv 2011.03567): the Bayes factor of a Dirichlet-multinomial against the stated shares.

use statrs::function::gamma::ln_gamma;

/// Evidence that the shares of `counts` are not those stated; `strength` is how many units the prior around the stated shares is worth.
///
/// A bug in assignment or logging makes every other number of an experiment worthless, so this is looked at first. The shares need not
/// add up. Counts in a share of nothing are evidence without limit.
pub fn mismatch(counts: &[u64], shares: &[f64], strength: f64) -> f64 {
    let sum: f64 = shares.iter().sum();
    let n: u64 = counts.iter().sum();
    let mut log = ln_gamma(strength) - ln_gamma(strength + n as f64);
    for (&count, &share) in counts.iter().zip(shares) {
        let (count, share) = (count as f64, share / sum);
        if share > 0.0 {
            let prior = strength * share;
            log += ln_gamma(prior + count) - ln_gamma(prior) - count * share.ln();
        } else if count > 0.0 {
            return f64::INFINITY;
        }
    }
    log.min(460.0).exp()
}
