//! How loaded an engine was when a request came.

use std::collections::VecDeque;
use std::time::Duration;

/// Loads that are kept, and the least time between two: seventeen minutes.
const KEPT: usize = 4096;
const APART: Duration = Duration::from_millis(250);

/// Sequences that ran and waited, over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loads(VecDeque<(Duration, u32, u32)>);

impl Loads {
    /// So many run and wait from now on.
    pub(crate) fn push(&mut self, now: Duration, running: usize, waiting: usize) {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let load = (now, count(running), count(waiting));
        match self.0.back_mut() {
            // Within one stretch only what changes much counts: others come and go with every step.
            Some(last) if now < last.0 + APART => (last.1, last.2) = (load.1, load.2),
            _ => self.0.push_back(load),
        }
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// How many ran and waited then; none as far as is known if it is too long ago.
    pub(crate) fn at(&self, time: Duration) -> (usize, usize) {
        let at = self.0.partition_point(|load| load.0 <= time);
        at.checked_sub(1).map_or((0, 0), |at| (self.0[at].1 as usize, self.0[at].2 as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_found_by_time() {
        let mut loads = Loads::default();
        let millis = Duration::from_millis;
        assert_eq!(loads.at(millis(5)), (0, 0));
        (0..20_000).for_each(|at| loads.push(millis(100 * at), at as usize, 2));
        for (time, running) in [(1_999_900, 19_999), (1_999_000, 19_991), (1_800_000, 18_001), (1, 0)] {
            let (found, waiting) = loads.at(millis(time));
            assert!(
                found.abs_diff(running) <= 3 && (waiting == 2 || running == 0),
                "at {time}: {found}, not {running}"
            );
        }
        assert!(loads.0.len() <= KEPT);
    }
}
