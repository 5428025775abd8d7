//! Totals over the last 10 s, minute, 10 minutes and hour, kept up to date as time goes.

use std::collections::VecDeque;
use std::time::Duration;

/// The windows' names, shortest first.
pub const WINDOWS: [&str; 4] = ["10s", "1m", "10m", "1h"];

/// Seconds in a slot, and slots in a window. A slot is as long as all windows before it are multiples of.
const SLOTS: [(u64, usize); 4] = [(1, 10), (10, 6), (60, 10), (600, 6)];

/// Longer than every window and its open slots.
const ALL: u64 = 4200;

/// What adds up, and can be taken away again.
pub(crate) trait Total: Clone + Default {
    /// Adds another.
    fn add(&mut self, other: &Self);

    /// Takes away what was added.
    fn subtract(&mut self, other: &Self);
}

/// Totals of every window. What happens is added to the slot of the current second alone; a slot that is complete is added to
/// its window and to the longer slot that it is part of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sliding<T> {
    levels: [Level<T>; 4],
    /// The current second, and the first one.
    second: u64,
    born: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct Level<T> {
    open: T,
    closed: VecDeque<T>,
    /// The sum of the closed ones.
    total: T,
}

impl<T: Total> Sliding<T> {
    /// The slot of the second that `now` is in.
    pub(crate) fn at(&mut self, now: Duration) -> &mut T {
        self.advance(now);
        &mut self.levels[0].open
    }

    /// The total of a window that ends now, and how many seconds of it have passed.
    pub(crate) fn window(&mut self, now: Duration, window: usize) -> (T, f64) {
        self.advance(now);
        let mut total = self.levels[window].total.clone();
        self.levels[..=window].iter().for_each(|level| total.add(&level.open));
        let (slot, slots) = SLOTS[window];
        let open = now.as_secs_f64() - (self.second - self.second % slot) as f64;
        let lived = now.saturating_sub(self.born.unwrap_or(now)).as_secs_f64();
        (total, ((slot * slots as u64) as f64 + open).min(lived).max(0.0))
    }

    /// The total of the last whole second.
    pub(crate) fn second(&mut self, now: Duration) -> T {
        self.advance(now);
        self.levels[0].closed.back().cloned().unwrap_or_default()
    }

    /// The total of the last whole ten seconds.
    pub(crate) fn ten_seconds(&mut self, now: Duration) -> T {
        self.advance(now);
        self.levels[1].closed.back().cloned().unwrap_or_default()
    }

    fn advance(&mut self, now: Duration) {
        let (born, now) = (*self.born.get_or_insert(now), now.as_secs());
        if now > self.second + ALL {
            *self = Sliding { second: now, born: Some(born), levels: Default::default() };
        }
        while self.second < now {
            self.rotate();
        }
    }

    fn rotate(&mut self) {
        self.second += 1;
        for (level, (seconds, slots)) in SLOTS.into_iter().enumerate() {
            if !self.second.is_multiple_of(seconds) {
                return;
            }
            let slot = std::mem::take(&mut self.levels[level].open);
            if let Some(longer) = self.levels.get_mut(level + 1) {
                longer.open.add(&slot);
            }
            self.levels[level].close(slot, slots);
        }
    }
}

impl<T: Total> Level<T> {
    fn close(&mut self, slot: T, slots: usize) {
        self.total.add(&slot);
        self.closed.push_back(slot);
        if self.closed.len() > slots {
            self.closed.pop_front().iter().for_each(|old| self.total.subtract(old));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Total for u64 {
        fn add(&mut self, other: &u64) {
            *self += other;
        }

        fn subtract(&mut self, other: &u64) {
            *self -= other;
        }
    }

    /// One event in each second from `start` on for `busy` seconds, then nothing for `idle`.
    fn check(start: u64, busy: u64, idle: u64, expected: [u64; 4]) {
        let mut sliding = Sliding::<u64>::default();
        (start..start + busy).for_each(|second| *sliding.at(Duration::from_secs(second)) += 1);
        let now = Duration::from_secs(start + busy - 1 + idle);
        let found: Vec<u64> = (0..4).map(|window| sliding.window(now, window).0).collect();
        assert_eq!(found, expected, "{busy} from {start}, then {idle} idle");
    }

    #[test]
    fn windows_hold_their_seconds() {
        check(0, 1, 0, [1, 1, 1, 1]);
        check(7, 5, 0, [5, 5, 5, 5]);
        check(7, 5, 20, [0, 5, 5, 5]);
        // The current second counts beside ten complete ones, the current ten seconds beside six.
        check(0, 1000, 0, [11, 70, 640, 1000]);
        check(0, 100_000, 0, [11, 70, 640, 4000]);
        check(0, 100, 5000, [0, 0, 0, 0]);
        check(0, 100, 1_000_000, [0, 0, 0, 0]);
    }

    #[test]
    fn a_window_says_how_much_it_has() {
        let mut sliding = Sliding::<u64>::default();
        for (now, expected) in [
            (100.5, [0.0; 4]),
            (104.0, [3.5; 4]),
            (130.5, [10.5, 30.0, 30.0, 30.0]),
            (9999.5, [10.5, 69.5, 639.5, 3999.5]),
        ] {
            let seconds: [f64; 4] =
                std::array::from_fn(|window| sliding.window(Duration::from_secs_f64(now), window).1);
            assert_eq!(seconds, expected, "at {now}");
        }
    }
}
