//! What the machine's cores do, by the kernel's account.

use std::time::{Duration, Instant};

use serve::{Core, CoreLoad};

/// Between two looks: the kernel counts in hundredths of a second.
const SECOND: Duration = Duration::from_secs(1);

/// Says what cores did lately; it looks at most once a second.
pub(crate) fn meter() -> impl FnMut() -> CoreLoad + Send + 'static {
    let (mut at, mut last, mut load) = (None::<Instant>, Reading::default(), CoreLoad::default());
    move || {
        if at.is_none_or(|at| at.elapsed() >= SECOND) {
            let reading = Reading::now();
            load = reading.since(&last);
            (at, last) = (Some(Instant::now()), reading);
        }
        load.clone()
    }
}

/// The kernel's counters, in ticks.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reading {
    /// Number, busy ticks and all ticks of each core.
    cores: Vec<(usize, u64, u64)>,
    /// Ticks of this process on all cores.
    own: Option<u64>,
}

impl Reading {
    fn now() -> Reading {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Reading { cores: cores(&read("/proc/stat")), own: own(&read("/proc/self/stat")) }
    }

    /// What happened between an earlier reading and this one.
    fn since(&self, before: &Reading) -> CoreLoad {
        let passed = self.cores.iter().filter_map(|now| {
            let then = before.cores.iter().find(|then| then.0 == now.0)?;
            let [busy, all] = [now.1.checked_sub(then.1)?, now.2.checked_sub(then.2)?];
            (all > 0).then_some((now.0, busy, all))
        });
        let passed: Vec<_> = passed.collect();
        let ticks = passed.iter().map(|core| core.2).sum::<u64>() as f64 / passed.len().max(1) as f64;
        let own = self.own.zip(before.own).and_then(|(now, then)| now.checked_sub(then));
        CoreLoad {
            own: own.filter(|_| ticks > 0.0).map(|own| own as f64 / ticks),
            cores: passed.iter().map(|&(core, busy, all)| Core { core, busy: busy as f64 / all as f64 }).collect(),
        }
    }
}

/// From /proc/stat (proc(5)): busy is what is neither idle nor waiting for a disk.
fn cores(text: &str) -> Vec<(usize, u64, u64)> {
    let core = |line: &str| {
        let (name, counts) = line.split_once(' ')?;
        let core = name.strip_prefix("cpu")?.parse().ok()?;
        // The last two, of guests, are counted among the first two already.
        let counts: Vec<u64> = counts.split_whitespace().take(8).map_while(|count| count.parse().ok()).collect();
        let all: u64 = counts.iter().sum();
        Some((core, all - counts.get(3)? - counts.get(4)?, all))
    };
    text.lines().filter_map(core).collect()
}

/// From /proc/self/stat (proc(5)): time in the program and in the kernel. The name before them may have spaces.
pub(crate) fn own(text: &str) -> Option<u64> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_becomes_shares() {
        let stat = |first: &str, second: &str| format!("cpu  9 9\ncpu0 {first} 0 0\ncpu1 {second} 0 0\nintr 7\n");
        let reading = |first: &str, second: &str, own| Reading { cores: cores(&stat(first, second)), own };
        let check = |before: &Reading, now: &Reading, busy: &[f64], own: Option<f64>| {
            let load = now.since(before);
            assert_eq!((load.cores.iter().map(|core| core.busy).collect::<Vec<_>>(), load.own), (busy.to_vec(), own));
        };
        let before = reading("10 0 5 100 5 0 0 0", "0 0 0 100 0 0 0 0", Some(7));
        check(&before, &reading("40 10 10 150 10 0 0 0", "0 0 0 200 0 0 0 0", Some(57)), &[0.45, 0.0], Some(0.5));
        check(&before, &before, &[], None);
        check(&Reading::default(), &before, &[], None);
        // Counters that went backwards say nothing.
        check(&before, &reading("10 0 5 90 5 0 0 0", "50 0 0 150 0 0 0 0", Some(3)), &[0.5], None);
    }

    #[test]
    fn the_name_of_a_program_may_have_anything() {
        let check = |text: &str, wanted: Option<u64>| assert_eq!(own(text), wanted, "{text}");
        check("1 (a) S 1 1 1 0 -1 4 1 2 3 4 50 7 0 0", Some(57));
        check("1 (a) b (c) R 1 1 1 0 -1 4 1 2 3 4 5 6 0 0", Some(11));
        check("", None);
        check("1 (a) S 1", None);
        assert_eq!(cores("cpu0 1 2\ncpux 1 2 3 4 5\ncpu1 a\n"), []);
    }
}
