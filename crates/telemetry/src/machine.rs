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
}
