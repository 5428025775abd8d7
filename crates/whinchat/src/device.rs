//! Where a model is computed: the CPU, a GPU, or several of them, each some layers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use graph::Graph;
use kernels::Machine;

use crate::{Error, gpu};

/// A device of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// The CPU.
    #[default]
    Cpu,
    /// A GPU, by its number in [`devices`], counted among GPUs from 0.
    Gpu(usize),
}

/// What computes a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A GPU that is no software, if this build and this machine have one that computes the model, as far as its memory goes; the CPU
    /// what is left.
    Auto,
    /// These, one after the other: the first computes the first layers.
    On(Vec<Unit>),
}

impl Default for Device {
    fn default() -> Device {
        Device::On(vec![Unit::Cpu])
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Cpu => f.write_str("cpu"),
            Unit::Gpu(number) => write!(f, "gpu:{number}"),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Device::On(units) = self else { return f.write_str("auto") };
        units.iter().enumerate().try_for_each(|(i, unit)| write!(f, "{}{unit}", if i > 0 { "+" } else { "" }))
    }
}

/// It is no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no device; there are auto, cpu, gpu and gpu:N, such as gpu:1, and several of them joined by +, such as cpu+gpu"
)]
pub struct UnknownDevice {
    text: String,
}

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Device, UnknownDevice> {
        let unit = |text: &str| match text {
            "cpu" => Some(Unit::Cpu),
            "gpu" => Some(Unit::Gpu(0)),
            _ => Some(Unit::Gpu(text.strip_prefix("gpu:")?.parse().ok()?)),
        };
        if text == "auto" {
            return Ok(Device::Auto);
        }
        let units: Option<Vec<Unit>> = text.split('+').map(unit).collect();
        units.map(Device::On).ok_or_else(|| UnknownDevice { text: text.into() })
    }
}

/// How many of a model's layers GPUs compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuLayers {
    /// As many as their memory has room for.
    Auto,
    /// So many, or all if there are no more.
    Count(usize),
}

impl FromStr for GpuLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<GpuLayers, String> {
        let wrong = |_| format!("{text:?} is no number of layers; there are auto and whole numbers, such as 20");
        if text == "auto" { Ok(GpuLayers::Auto) } else { text.parse().map(GpuLayers::Count).map_err(wrong) }
    }
}

impl fmt::Display for GpuLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpuLayers::Auto => f.write_str("auto"),
            GpuLayers::Count(layers) => write!(f, "{layers}"),
        }
    }
}

/// A device of this machine, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// How it is asked for.
    pub device: Unit,
    /// What it is called.
    pub name: String,
    /// What it is and how it is driven, such as `software, vulkan, llvmpipe Mesa 22.3.6`.
    pub about: String,
    /// Its own memory, in bytes, where that is known; of the CPU, what is left of the machine's.
    pub memory: Option<u64>,
    /// Types of weights that it multiplies as they are; others it keeps as F16. `None`: all.
    pub types: Option<Vec<&'static str>>,
}

/// The devices that this build can use: the CPU, then GPUs.
pub fn devices() -> Vec<DeviceInfo> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let isa = kernels::Isa::detect().name();
    let cpu = DeviceInfo {
        device: Unit::Cpu,
        name: "CPU".into(),
        about: format!("{cores} threads, instruction set {isa}"),
        memory: crate::machine::memory_available(),
        types: None,
    };
    std::iter::once(cpu).chain(gpu::devices()).collect()
}

impl Unit {
    /// Measures what it can do, in a second or some; what else it does meanwhile is in the figures. There is no figure for 8-bit integers of
    /// a GPU.
    ///
    /// # Errors
    /// If there is no such device, or it has no memory for that.
    pub fn measure(self) -> Result<Machine, Error> {
        match self {
            Unit::Cpu => Ok(Machine::measure(crate::machine::cores(), 256 << 20)),
            Unit::Gpu(number) => gpu::measure(number),
        }
    }
}

/// The types of a graph's matrices that a GPU keeps as F16, with how many matrices each has, and their bytes then. None in a build that
/// uses no GPU.
pub fn gpu_conversions(graph: &Graph) -> Vec<(&'static str, usize, u64)> {
    let mut converted: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for weight in graph.weights().iter().filter(|weight| gpu::converts(weight)) {
        let (count, bytes) = converted.entry(weight.dtype.name()).or_default();
        *count += 1;
        *bytes += 2 * weight.shape.elements().unwrap_or(0) as u64;
    }
    converted.into_iter().map(|(name, (count, bytes))| (name, count, bytes)).collect()
}

/// Whether this build can use GPUs.
pub const HAS_GPU: bool = cfg!(feature = "gpu");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        use Unit::{Cpu, Gpu};
        for (text, units) in [
            ("cpu", vec![Cpu]),
            ("gpu:0", vec![Gpu(0)]),
            ("gpu:12", vec![Gpu(12)]),
            ("cpu+gpu:1", vec![Cpu, Gpu(1)]),
            ("gpu:0+gpu:1+cpu", vec![Gpu(0), Gpu(1), Cpu]),
        ] {
            assert_eq!(text.parse(), Ok(Device::On(units)));
            assert_eq!(text.parse::<Device>().expect(text).to_string(), text);
        }
        assert_eq!("auto".parse(), Ok(Device::Auto));
        assert_eq!("cpu+gpu".parse(), Ok(Device::On(vec![Cpu, Gpu(0)])));
        for text in ["", "GPU", "gpu:", "gpu:-1", "gpu:x", "cuda", "cpu+", "+gpu", "auto+cpu"] {
            let why = text.parse::<Device>().expect_err(text).to_string();
            assert!(why.starts_with(&format!("{text:?} is no device; there are auto, cpu, gpu and gpu:N")), "{why}");
        }
        for text in ["auto", "0", "99"] {
            assert_eq!(text.parse::<GpuLayers>().expect(text).to_string(), text);
        }
        assert!("-1".parse::<GpuLayers>().is_err() && "".parse::<GpuLayers>().is_err());
    }
}
