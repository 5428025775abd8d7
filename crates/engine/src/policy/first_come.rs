//! First come, first served: nobody is overtaken, and the youngest gives way.

use std::time::Duration;

use super::Policy;
use crate::Sequence;

/// Serves sequences in the order of arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstCome;

impl Policy for FirstCome {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        sequence.id().0
    }
}
