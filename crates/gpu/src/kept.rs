//! Compiled kernels in a file, so that the next start does not compile them anew.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What such a file begins with: its name and the version of its form.
const MAGIC: &[u8; 8] = b"whinGPU1";

/// A driver's cache of compiled kernels, and the file that it is kept in.
#[derive(Debug)]
pub(crate) struct Kept {
    cache: wgpu::PipelineCache,
    path: PathBuf,
}

impl Kept {
    /// The cache of this adapter in a folder; `None` if the driver has none. A file that is damaged or another driver's counts as none.
    #[allow(unsafe_code)]
    pub(crate) fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: &Path) -> Option<Kept> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder.join(wgpu::util::pipeline_cache_key(info)?).with_extension("bin");
        let data = std::fs::read(&path).ok().and_then(|bytes| unpack(&bytes).map(<[u8]>::to_vec));
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: data.as_deref(), fallback: true };
        // SAFETY: the data is what `PipelineCache::get_data` gave: the file has the name of this adapter, and a hash shows that it is as
        // it was written.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Kept { cache, path })
    }

    pub(crate) fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes what the driver has compiled: to another file first, which then takes its place.
    pub(crate) fn write(&self) -> io::Result<()> {
        let Some(data) = self.cache.get_data() else { return Ok(()) };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let beside = self.path.with_extension(format!("{}.part", std::process::id()));
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&pack(&data))?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)
    }
}

fn pack(data: &[u8]) -> Vec<u8> {
    [MAGIC, &hash(data).to_le_bytes(), data].concat()
}

/// What was packed, if it is as it was.
fn unpack(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (kept, data) = rest.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*kept) == hash(data)).then_some(data)
}

/// FNV-1a, 64 bits: against damage, not against forgery.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_count_as_none() {
        let packed = pack(b"kernels");
        assert_eq!(unpack(&packed), Some(&b"kernels"[..]));
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1;
            assert_eq!(unpack(&damaged), None, "byte {at}");
            assert_eq!(unpack(&packed[..at]), None, "cut at {at}");
        }
    }
}
