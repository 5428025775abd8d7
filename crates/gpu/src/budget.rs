//! How much memory a GPU has.

/// Bytes of the largest memory that is the device's own, where its driver says so: Vulkan's does.
pub(crate) fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    if adapter.get_info().backend == wgpu::Backend::Vulkan { vulkan(adapter) } else { None }
}

/// What of that may be taken: a sixteenth is left to others and to the driver.
pub(crate) fn budget(memory: Option<u64>) -> u64 {
    memory.map_or(u64::MAX, |bytes| bytes - bytes / 16)
}

#[cfg(not(target_vendor = "apple"))]
#[allow(unsafe_code)]
fn vulkan(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: the guard is only looked at; nothing that it gives is destroyed, and nothing outlives it.
    let hal = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = hal.shared_instance().raw_instance();
    // SAFETY: the handle is that of a physical device of this instance, which lives as long as the guard; the call only reads.
    let properties = unsafe { instance.get_physical_device_memory_properties(hal.raw_physical_device()) };
    // Vulkan's flag for memory that is the device's own is the lowest bit.
    let own = properties.memory_heaps_as_slice().iter().filter(|heap| heap.flags.as_raw() & 1 == 1);
    own.map(|heap| heap.size).max()
}

#[cfg(target_vendor = "apple")]
fn vulkan(_: &wgpu::Adapter) -> Option<u64> {
    None
}
