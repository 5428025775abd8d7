//! A change of settings, tried: the same load on two engines in turn, and what became better, with how sure that is.

pub(crate) mod gain;
pub(crate) mod load;

use whinchat::Model;

use self::gain::{Gain, Measure};
use self::load::{Figures, Load};

/// Puts a load on both in turn, so many rounds, and gives what the second does better than the first.
///
/// # Errors
/// If a request fails.
pub(crate) fn compare(
    [before, after]: [&Model; 2],
    load: &Load,
    rounds: usize,
    heard: &mut dyn FnMut(usize, &[Figures; 2]),
) -> anyhow::Result<Vec<Gain>> {
    // What is done once only, on either: pages that are touched first, threads that wake.
    load.warm(before)?;
    load.warm(after)?;
    let mut pairs = Vec::with_capacity(rounds);
    for round in 0..rounds {
        // Each goes first as often: what comes and goes on the machine meets both alike.
        let pair = match round % 2 {
            0 => {
                let first = load.round(before, round)?;
                [first, load.round(after, round)?]
            }
            _ => {
                let first = load.round(after, round)?;
                [load.round(before, round)?, first]
            }
        };
        heard(round, &pair);
        pairs.push(pair);
    }
    Ok(Measure::ALL.into_iter().filter_map(|measure| Gain::of(measure, &pairs)).collect())
}
