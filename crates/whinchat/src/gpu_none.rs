//! GPUs, where the build has none.

use graph::{Graph, Rule};

use crate::device::DeviceInfo;
use crate::load::Parts;
use crate::{Error, Prepared, Progress};

pub(crate) fn devices() -> Vec<DeviceInfo> {
    vec![]
}

pub(crate) fn best(_: &Graph) -> Option<usize> {
    None
}

pub(crate) fn check(number: usize, _: &Graph) -> Result<(), Error> {
    Err(Error::Request(format!(
        "--device gpu:{number}: this build uses no GPU; build it with --features gpu, or use --device cpu"
    )))
}

pub(crate) fn rules() -> &'static [Rule] {
    &[]
}

pub(crate) fn executor(_: &Prepared, number: usize, _: Progress) -> Result<Box<dyn engine::Executor>, Error> {
    Err(Error::Request(format!("there is no gpu:{number} in this build")))
}

pub(crate) fn parts(_: &Prepared, number: usize, _: Progress) -> Result<Parts, Error> {
    Err(Error::Request(format!("there is no gpu:{number} in this build")))
}
