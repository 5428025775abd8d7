//! Who made the processor.

/// Whether AMD did.
#[cfg(target_arch = "x86_64")]
pub(super) fn is_amd() -> bool {
    let name = std::arch::x86_64::__cpuid(0);
    [name.ebx, name.edx, name.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn is_amd() -> bool {
    false
}
