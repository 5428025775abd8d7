//! What the machine does besides computing models.

use serde::Serialize;

/// One second of the machine, as far as it can be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Machine {
    /// Cores that other processes used.
    pub others: f64,
    /// The share of the time that the hypervisor gave to others.
    pub stolen: f64,
    /// Pages that had to be read from the disk, by this process.
    pub major_faults: f64,
    /// The share of memory that is available.
    pub available: f64,
    /// Cores that this process may use.
    pub cores: f64,
    /// Threads of it that compute models.
    pub threads: f64,
}

/// Seconds that a mean is over.
const MEMORY: f64 = 300.0;

/// Seconds before it says anything.
const ENOUGH: u64 = 120;

/// What a machine usually does: means over some minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Typical {
    pub(crate) others: f64,
    pub(crate) available: f64,
    pub(crate) cores: f64,
    pub(crate) threads: f64,
    seconds: u64,
}

impl Typical {
    /// A second is over.
    pub(crate) fn learn(&mut self, second: &Machine) {
        let Machine { others, available, cores, threads, .. } = *second;
        self.seconds += 1;
        let weight = (1.0 / MEMORY).max(1.0 / self.seconds as f64);
        for (mean, value) in [(&mut self.others, others), (&mut self.available, available)] {
            *mean += weight * (value - *mean);
        }
        (self.cores, self.threads) = (cores, threads);
    }

    /// It, once it is known well enough; nothing where the system says nothing.
    pub(crate) fn known(self) -> Option<Typical> {
        (self.seconds >= ENOUGH && self.cores > 0.0).then_some(self)
    }
}
