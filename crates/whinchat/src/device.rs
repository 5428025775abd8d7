//! Where a model is computed: the CPU or a GPU.

use std::fmt;
use std::str::FromStr;

use crate::{Error, gpu};

/// What computes a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A GPU that is no software, if this build and this machine have one that computes the model; else the CPU.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// A GPU, by its number in [`devices`], counted among GPUs from 0.
    Gpu(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu(number) => write!(f, "gpu:{number}"),
        }
    }
}

/// It is no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no device; there are auto, cpu, gpu and gpu:N, such as gpu:1")]
pub struct UnknownDevice {
    text: String,
}

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Device, UnknownDevice> {
        let unknown = || UnknownDevice { text: text.into() };
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "gpu" => Ok(Device::Gpu(0)),
            _ => {
                let number = text.strip_prefix("gpu:").and_then(|number| number.parse().ok());
                number.map(Device::Gpu).ok_or_else(unknown)
            }
        }
    }
}

/// A device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// How it is asked for.
    pub device: Device,
    /// What it is called.
    pub name: String,
    /// What it is and how it is driven, such as `software, vulkan, llvmpipe Mesa 22.3.6`.
    pub about: String,
}

/// The devices that this build can use: the CPU, then GPUs.
pub fn devices() -> Vec<DeviceInfo> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let isa = kernels::Isa::detect().name();
    let cpu = DeviceInfo {
        device: Device::Cpu,
        name: "CPU".into(),
        about: format!("{cores} threads, instruction set {isa}"),
    };
    std::iter::once(cpu).chain(gpu::devices()).collect()
}

/// Whether this build can use GPUs.
pub const HAS_GPU: bool = cfg!(feature = "gpu");

impl Device {
    /// The device that is meant, for a model with this graph.
    ///
    /// # Errors
    /// If it is a GPU and this build uses none, or the GPU does not compute the model.
    pub(crate) fn resolve(self, graph: &graph::Graph) -> Result<Device, Error> {
        match self {
            Device::Cpu => Ok(Device::Cpu),
            Device::Auto => Ok(gpu::best(graph).map_or(Device::Cpu, Device::Gpu)),
            Device::Gpu(number) => gpu::check(number, graph).map(|()| Device::Gpu(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for (text, device) in
            [("auto", Device::Auto), ("cpu", Device::Cpu), ("gpu:0", Device::Gpu(0)), ("gpu:12", Device::Gpu(12))]
        {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("gpu".parse(), Ok(Device::Gpu(0)));
        for text in ["", "GPU", "gpu:", "gpu:-1", "gpu:x", "cuda"] {
            let why = text.parse::<Device>().expect_err(text).to_string();
            assert_eq!(why, format!("{text:?} is no device; there are auto, cpu, gpu and gpu:N, such as gpu:1"));
        }
    }
}
