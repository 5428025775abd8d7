//! Mixed precision: what each matrix costs at each type, and the best choice within a budget.

mod assign;
mod probe;
mod sensitivity;
mod timing;

pub use assign::{Budget, Point, assign, front};
pub(crate) use probe::Probe;
pub use sensitivity::{Choice, Sensitivity, estimate, measure};
pub use timing::{set_times, time_types};
