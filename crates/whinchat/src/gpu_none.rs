//! GPUs, where the build has none.

use graph::{Graph, Limits, WeightInfo};
use kernels::Machine;

use crate::Error;
use crate::device::DeviceInfo;
use crate::pipeline::Holds;

pub(crate) fn devices() -> Vec<DeviceInfo> {
    vec![]
}

pub(crate) fn best(_: &Graph) -> Option<usize> {
    None
}

pub(crate) fn check(number: usize, _: &Graph) -> Result<(), Error> {
    none(number)
}

pub(crate) fn needs(_: &Graph, _: &Limits) -> [u64; 3] {
    [0; 3]
}

pub(crate) fn room(number: usize) -> Result<u64, Error> {
    none(number)
}

pub(crate) fn measure(number: usize) -> Result<Machine, Error> {
    none(number)
}

pub(crate) fn converts(_: &WeightInfo) -> bool {
    false
}

pub(crate) fn holder(number: usize) -> Result<Box<dyn Holds>, Error> {
    none(number)
}

fn none<T>(number: usize) -> Result<T, Error> {
    Err(Error::Request(format!(
        "--device gpu:{number}: this build uses no GPU; build it with --features gpu, or use --device cpu"
    )))
}
