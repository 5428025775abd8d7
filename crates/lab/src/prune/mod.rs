//! Pruning: which weights of a matrix may be zero, how many of each, and how the others make up for them.

mod mask;
mod recover;
mod shares;
mod weights;

pub use mask::{Method, Pattern, prune};
pub use recover::recover;
pub use shares::{ShareLosses, share_losses, shares};
pub(crate) use weights::Losses;
pub use weights::{PruneMethod, PruneOptions, Recovered};
