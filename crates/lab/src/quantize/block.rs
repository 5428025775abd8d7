//! A block's scales, rounded as its type stores them, and its quants.

use half::f16;

use super::fit::{Affine, Run, inverse};
use super::form::{Form, Scales};
use super::pack::Parts;

/// The scales of a block as they are stored, and what they are for each run.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) parts: Parts,
    /// A scale and a minimum that is added, for each run.
    pub(super) runs: Vec<(f32, f32)>,
}

impl Form {
    /// The grid that loses least of a block's values, each counted by its weight.
    pub(super) fn grid(&self, values: &[f32], weights: &[f32]) -> Grid {
        let runs: Vec<Run> = values
            .chunks_exact(self.run)
            .zip(weights.chunks_exact(self.run))
            .map(|(values, weights)| Run::new(values, weights))
            .collect();
        match self.scales {
            Scales::Half => self.half(runs[0]),
            Scales::HalfAndMinimum => self.half_and_minimum(runs[0]),
            Scales::Power => self.power(runs[0]),
            Scales::Scaled(low, high) => self.scaled(&runs, low, high),
            Scales::ScaledWithMinimums(high) => self.scaled_with_minimums(&runs, high),
        }
    }

    fn half(&self, run: Run<'_>) -> Grid {
        let scale = rounded(run.scale(self.levels));
        Grid { parts: Parts { scale, ..Parts::default() }, runs: vec![(scale, 0.0)] }
    }

    fn half_and_minimum(&self, run: Run<'_>) -> Grid {
        let (scale, min) = run.affine(self.levels.ends(), true).fit();
        let (scale, min) = (rounded(scale), rounded(min));
        Grid { parts: Parts { scale, min, ..Parts::default() }, runs: vec![(scale, min)] }
    }

    /// The best of the powers of two around the one that the extreme value asks for.
    fn power(&self, run: Run<'_>) -> Grid {
        let wanted = run.scale(self.levels).abs().max(f32::MIN_POSITIVE).log2().round() as i32 + 128;
        let scale = |exponent: i32| f32::exp2((exponent - 128) as f32);
        let error = |exponent: &i32| run.error(self.levels, scale(*exponent));
        let tries = (wanted - 1..=wanted + 1).map(|exponent| exponent.clamp(2, 254));
        let exponent = tries.min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or(127);
        let mut parts = Parts::default();
        parts.scales[0] = (exponent as u8).cast_signed();
        Grid { parts, runs: vec![(scale(exponent), 0.0)] }
    }

    /// Scales of runs as integers between `low` and `high`.
    fn scaled(&self, runs: &[Run<'_>], low: i32, high: i32) -> Grid {
        let found: Vec<f32> = runs.iter().map(|run| run.scale(self.levels)).collect();
        let extreme = found.iter().copied().fold(0.0, |best: f32, x| if x.abs() > best.abs() { x } else { best });
        let mut best: Option<(f32, Grid)> = None;
        // The extreme scale at the end with one step more, and a little off it.
        for end in [low as f32, low as f32 + 0.5, low as f32 * 0.95, -(high as f32)] {
            let scale = rounded(extreme / end);
            let (mut grid, mut error) = (Grid { parts: Parts { scale, ..Parts::default() }, runs: vec![] }, 0.0);
            for (i, (run, wanted)) in runs.iter().zip(&found).enumerate() {
                let near = (wanted * inverse(scale)).round_ties_even() as i32;
                let tries = (near - 1..=near + 1).map(|step| step.clamp(low, high));
                let lost = |step: i32| (run.error(self.levels, scale * step as f32), step);
                let (lost, step) = tries.map(lost).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0));
                grid.parts.scales[i] = step as i8;
                grid.runs.push((scale * step as f32, 0.0));
                error += lost;
            }
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, grid));
            }
        }
        best.map_or_else(|| Grid { parts: Parts::default(), runs: vec![(0.0, 0.0); runs.len()] }, |(_, grid)| grid)
    }

    /// Scales and minimums of runs as integers up to `high`.
    fn scaled_with_minimums(&self, runs: &[Run<'_>], high: i32) -> Grid {
        let runs: Vec<Affine> = runs.iter().map(|run| run.affine(self.levels.ends(), false)).collect();
        let found: Vec<(f32, f32)> = runs.iter().map(Affine::fit).collect();
        let largest = |part: fn(&(f32, f32)) -> f32| found.iter().map(part).fold(0.0, f32::max) / high as f32;
        let (scale, min) = (largest(|f| f.0), largest(|f| -f.1));
        let mut best: Option<(f32, Grid)> = None;
        for (of_scale, of_min) in [(1.0, 1.0), (0.97, 1.0), (1.0, 0.97), (1.03, 1.03)] {
            let (scale, min) = (rounded(scale * of_scale), rounded(min * of_min));
            let grid = Grid { parts: Parts { scale, min, ..Parts::default() }, runs: vec![] };
            let (grid, error) = steps(&runs, &found, grid, high);
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, grid));
            }
        }
        best.map_or_else(|| Grid { parts: Parts::default(), runs: vec![(0.0, 0.0); runs.len()] }, |(_, grid)| grid)
    }
}

/// The steps of each run's scale and minimum: of the nearest ones those that lose least.
fn steps(runs: &[Affine<'_>], found: &[(f32, f32)], mut grid: Grid, high: i32) -> (Grid, f32) {
    let (scale, min) = (grid.parts.scale, grid.parts.min);
    let mut error = 0.0;
    for (i, (run, wanted)) in runs.iter().zip(found).enumerate() {
        let near = (wanted.0 * inverse(scale)).round_ties_even() as i32;
        let of = |step: i32| {
            let step = step.clamp(0, high);
            let (below, lost) = run.minimum(scale * step as f32, wanted.1, (min, high));
            (lost, step, below)
        };
        let best = (near - 1..=near + 1).map(of).min_by(|a, b| a.0.total_cmp(&b.0));
        let (lost, s, m) = best.unwrap_or((0.0, 0, 0));
        (grid.parts.scales[i], grid.parts.mins[i]) = (s as i8, m as u8);
        grid.runs.push((scale * s as f32, -min * m as f32));
        error += lost;
    }
    (grid, error)
}

impl Grid {
    /// The value that stands for `x` at a place of the block, and its quant.
    pub(super) fn nearest(&self, form: &Form, place: usize, x: f32) -> (f32, u8) {
        let (scale, min) = self.runs[place / form.run];
        let (level, quant) = form.levels.nearest((x - min) * inverse(scale));
        (scale * level + min, quant)
    }

    /// The grid with the quants of these values.
    pub(super) fn quantized(mut self, form: &Form, values: &[f32]) -> Parts {
        for (place, x) in values.iter().enumerate() {
            self.parts.quants[place] = self.nearest(form, place, *x).1;
        }
        self.parts
    }
}

/// As half precision has it; what it cannot hold is the largest that it can.
fn rounded(x: f32) -> f32 {
    if x.is_nan() { 0.0 } else { f16::from_f32(x.clamp(-65504.0, 65504.0)).to_f32() }
}
