//! Whether an event (a failure, a slow answer) belongs to the candidate more often than its share of traffic.
//!
//! After Lindon and Malek, "Anytime-valid inference for multinomial count data" (2022, arXiv 2011.03567): if the variants do not differ, an event
//! belongs to the candidate with its share of traffic, whatever the rate of events is and however it drifts. So only who had the event
//! matters. The bets are on few ratios of rates instead of a Beta prior, which would have to start anew when the share changes.

use serde::{Deserialize, Serialize};

/// How much likelier an event is to belong to the candidate, under one alternative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Odds {
    /// The candidate's rate of events over the stable variant's.
    pub ratio: f64,
    /// What part of the capital is on it.
    pub weight: f64,
}

/// A capital too small to matter, kept above zero so that it can grow again.
const LEAST: f64 = 1e-200;
/// A capital that has long decided; larger ones would overflow.
const MOST: f64 = 1e200;
/// After about so many events half of what was held back has been put on the alternatives.
const HELD_BACK: f64 = 1000.0;

/// Evidence that the candidate has more than its share of events.
///
/// A part of the capital is held back and bet little by little, so that harm that begins late is found too. For a candidate that is
/// better the capital falls on average: the hypothesis is "not worse", not "equal".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Harm {
    ratios: Vec<Odds>,
    /// What has become of the capital on each ratio.
    capital: Vec<f64>,
    held: f64,
    events: u64,
    /// How often an event is expected of a request of the stable variant, if requests without it are counted too.
    base: Option<f64>,
    factors: Factors,
}

/// What the capital on each ratio is multiplied with, for one share of traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Factors {
    share: f64,
    /// For each ratio: event of the stable variant, of the candidate; no event of the stable variant, of the candidate.
    rows: Vec<[f64; 4]>,
}

impl Harm {
    /// A test of rare events, such as failures, that looks at events alone: doubled and fivefold rates are found soonest.
    pub fn failures() -> Harm {
        let odds = [(1.4, 0.02), (2.0, 0.34), (5.0, 0.62), (20.0, 0.02)];
        Harm::new(odds.map(|(ratio, weight)| Odds { ratio, weight }).to_vec(), None, 0.02)
    }

    /// A test of events that a share `base` of the stable variant's requests has: exceedances of its quantile at `1 − base`.
    ///
    /// It looks at requests without the event too. If `base` is wrong, for example as everything has become slower, the test is as
    /// valid, only slower.
    pub fn exceedances(base: f64) -> Harm {
        let base = base.clamp(1e-6, 0.999);
        // Ratios of odds, not of rates: rates near one half cannot double.
        let odds = [(1.3, 0.2), (1.7, 0.4), (3.0, 0.3), (8.0, 0.1)];
        let ratio = |o: f64| o / (1.0 - base + base * o);
        Harm::new(odds.map(|(o, weight)| Odds { ratio: ratio(o), weight }).to_vec(), Some(base), 0.02)
    }

    /// A test with given alternatives, of which the weights need not add up; `held` of the capital is held back at first.
    pub fn new(ratios: Vec<Odds>, base: Option<f64>, held: f64) -> Harm {
        let sum: f64 = ratios.iter().map(|r| r.weight).sum();
        let ratios: Vec<Odds> =
            ratios.iter().map(|r| Odds { ratio: r.ratio.max(1.0), weight: r.weight / sum.max(1e-12) }).collect();
        let capital = ratios.iter().map(|r| r.weight * (1.0 - held)).collect();
        Harm { ratios, capital, held, events: 0, base, factors: Factors::default() }
    }

    /// A request ended, with the event or without; `share` is the candidate's share of traffic when it was assigned.
    ///
    /// A share of nothing or everything says nothing, and changes nothing.
    pub fn record(&mut self, candidate: bool, event: bool, share: f64) {
        if !(share > 0.0 && share < 1.0) || (!event && self.base.is_none()) {
            return;
        }
        if self.factors.share != share {
            self.factors = Factors::of(&self.ratios, self.base, share);
        }
        let column = usize::from(candidate) + if event { 0 } else { 2 };
        for (capital, row) in self.capital.iter_mut().zip(&self.factors.rows) {
            *capital = (*capital * row[column]).clamp(LEAST, MOST);
        }
        self.bet_more();
    }

    fn bet_more(&mut self) {
        self.events += 1;
        let part = self.held / (self.events as f64 + HELD_BACK);
        self.held -= part;
        for (capital, odds) in self.capital.iter_mut().zip(&self.ratios) {
            *capital += part * odds.weight;
        }
    }

    /// The evidence for harm: 1 is none; at `1 / alpha` the chance of an error is at most `alpha`.
    pub fn evidence(&self) -> f64 {
        self.capital.iter().sum::<f64>() + self.held
    }

    /// How many events (with a base: requests) have been looked at.
    pub fn events(&self) -> u64 {
        self.events
    }
}

impl Factors {
    fn of(ratios: &[Odds], base: Option<f64>, share: f64) -> Factors {
        let rows = ratios.iter().map(|odds| {
            let with = odds.ratio * share + 1.0 - share;
            let [stable, candidate] = base.map_or([1.0, 1.0], |base| {
                let rate = (base * odds.ratio).min(1.0 - 1e-6);
                let without = share * (1.0 - rate) + (1.0 - share) * (1.0 - base);
                [(1.0 - base) / without, (1.0 - rate) / without]
            });
            [1.0 / with, odds.ratio / with, stable, candidate]
        });
        Factors { share, rows: rows.collect() }
    }
}
