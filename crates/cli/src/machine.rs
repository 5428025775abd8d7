//! What the machine does besides computing models, by the kernel's account (proc(5)); nothing where there is no such account.

use std::fs::read_to_string;

use serve::Machine;

/// Ticks of a second: what Linux tells user programs.
pub(crate) const TICKS: f64 = 100.0;

/// Says each time what happened since the last time; so many threads of this process compute.
pub(crate) fn probe(threads: usize) -> impl FnMut() -> Machine + Send + 'static {
    let mut last = Reading::now();
    move || {
        let now = Reading::now();
        let since = now.since(&last);
        last = now;
        Machine { threads: threads as f64, ..since }
    }
}

/// The kernel's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading {
    all: Ticks,
    own: Own,
    /// The share of memory that is available.
    available: f64,
}

/// Ticks of all cores together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    busy: f64,
    idle: f64,
    stolen: f64,
}

/// Of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Own {
    ticks: f64,
    major_faults: f64,
}

impl Reading {
    fn now() -> Reading {
        let read = |name: &str| read_to_string(format!("/proc/{name}")).unwrap_or_default();
        Reading {
            all: ticks(&read("stat")).unwrap_or_default(),
            own: own(&read("self/stat")).unwrap_or_default(),
            available: available(&read("meminfo")).unwrap_or_default(),
        }
    }

    fn since(&self, last: &Reading) -> Machine {
        let [busy, idle, stolen] =
            [self.all.busy - last.all.busy, self.all.idle - last.all.idle, self.all.stolen - last.all.stolen]
                .map(|ticks| ticks.max(0.0));
        let all = busy + idle + stolen;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        // The kernel's cores may be more than those that this process may use; ticks say how long it was.
        let seconds = (all / TICKS / cores).max(0.1);
        let others = busy - (self.own.ticks - last.own.ticks);
        Machine {
            others: (others / TICKS / seconds).max(0.0),
            stolen: if all > 0.0 { stolen / all } else { 0.0 },
            major_faults: (self.own.major_faults - last.own.major_faults).max(0.0) / seconds,
            available: self.available,
            cores,
            ..Machine::default()
        }
    }
}

/// The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks(text: &str) -> Option<Ticks> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|word| word.parse().ok());
    let [user, nice, system, idle, wait, irq, soft, stolen] = *numbers.collect::<Vec<f64>>().first_chunk()?;
    Some(Ticks { busy: user + nice + system + irq + soft, idle: idle + wait, stolen })
}

/// /proc/self/stat: after the name, which is in brackets, major faults are the 10th field, user and system time the 12th and 13th.
fn own(text: &str) -> Option<Own> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Own { ticks: number(11)? + number(12)?, major_faults: number(9)? })
}

/// /proc/meminfo.
fn available(text: &str) -> Option<f64> {
    let of = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok())
    };
    let (available, total) = (of("MemAvailable:")?, of("MemTotal:")?);
    (total > 0.0).then(|| available / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        let stat = "cpu  100 5 50 800 20 1 4 30 0 0\ncpu0 1 2 3\n";
        assert_eq!(ticks(stat), Some(Ticks { busy: 160.0, idle: 820.0, stolen: 30.0 }));
        let own_stat = "7 (a (name) of) S 1 7 7 0 -1 4194304 900 0 12 0 340 60 0 0 20 0 8 0 100";
        assert_eq!(own(own_stat), Some(Own { ticks: 400.0, major_faults: 12.0 }));
        assert_eq!(available("MemTotal:  400 kB\nMemFree: 1 kB\nMemAvailable:  100 kB\n"), Some(0.25));
        for text in ["", "cpu", "cpu  1 2 x", "7 (a", "7 (a) S 1", "MemTotal: 0 kB\nMemAvailable: 0 kB"] {
            assert!(ticks(text).is_none() && own(text).is_none() && available(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_others_use_is_the_rest() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let second = TICKS * cores;
        let last = Reading::default();
        let all = Ticks { busy: 0.6 * second, idle: 0.3 * second, stolen: 0.1 * second };
        let own = Own { ticks: 0.5 * second, major_faults: 7.0 };
        let machine = Reading { all, own, available: 0.5 }.since(&last);
        assert!((machine.others - 0.1 * cores).abs() < 1e-9 && (machine.stolen - 0.1).abs() < 1e-9, "{machine:?}");
        assert!((machine.major_faults - 7.0).abs() < 1e-9 && machine.available == 0.5, "{machine:?}");
        assert_eq!((machine.cores, probe(3)().threads), (cores, 3.0));
    }
}
