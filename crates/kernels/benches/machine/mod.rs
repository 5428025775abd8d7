//! What the machine can do, as figures to put beside a kernel's, and how benchmarks are measured.

use std::time::Duration;

pub(crate) use kernels::Machine;

/// Short measurements: there are many of them.
#[allow(dead_code)]
pub(crate) fn criterion() -> criterion::Criterion {
    let (warm_up, measure) = (Duration::from_millis(300), Duration::from_secs(1));
    criterion::Criterion::default().sample_size(10).warm_up_time(warm_up).measurement_time(measure)
}

/// As many as the system offers.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
