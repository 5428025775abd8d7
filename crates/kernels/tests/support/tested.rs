//! Which instruction sets are tested.

use std::fmt::Debug;

/// Whether an instruction set is: each is, unless `WHINCHAT_TESTED_ISA` names the only one, as where an emulator makes tests slow.
pub(crate) fn is_tested(isa: impl Debug) -> bool {
    std::env::var_os("WHINCHAT_TESTED_ISA").is_none_or(|only| *only == *format!("{isa:?}"))
}
