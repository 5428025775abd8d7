//! Memory that nobody writes any more: allocated, or mapped from a file that other processes map too.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::{MmapAsRawDesc, MmapOptions, MmapRaw};

use super::{Buffer, Line, Plain, prefer_large};

/// A slice that is read only.
#[derive(Debug)]
pub(crate) struct Frozen<T: Plain>(Buffer<T>);

impl<T: Plain> Frozen<T> {
    /// The elements that these bytes of a file are; `None` if they are not exactly `len`, begin on no cache line or lie outside it.
    pub(crate) fn mapped(file: &PackedFile, bytes: &Range<usize>, len: usize) -> Option<Frozen<T>> {
        let fits =
            bytes.end <= file.0.len() && bytes.end.checked_sub(bytes.start)? == len.checked_mul(size_of::<T>())?;
        let buffer = || {
            let pages = (len > 0).then(|| file.0.clone());
            Buffer { pages, start: bytes.start, len, in_slab: false, of: PhantomData }
        };
        (fits && bytes.start.is_multiple_of(align_of::<Line>())).then(|| Frozen(buffer()))
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Its elements as they lie in memory.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: plain values have no padding, and these live as long as `self`; an empty slice may dangle.
        unsafe { std::slice::from_raw_parts(self.0.place().cast(), self.0.bytes()) }
    }
}

impl<T: Plain> Deref for Frozen<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Plain> From<Buffer<T>> for Frozen<T> {
    fn from(buffer: Buffer<T>) -> Frozen<T> {
        Frozen(buffer)
    }
}

/// A file of packed weights, mapped: its pages are in memory once, whatever processes map it.
///
/// A file that is *truncated* while it is mapped kills the process when the lost pages are touched, as with the files of models.
/// Who replaces one renames another over it, which leaves this one whole.
#[derive(Clone, Debug)]
pub struct PackedFile(Arc<MmapRaw>);

impl PackedFile {
    /// Maps an opened file to be read.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn map(file: impl MmapAsRawDesc) -> io::Result<PackedFile> {
        let pages = MmapOptions::new().map_raw_read_only(file)?;
        prefer_large(&pages);
        Ok(PackedFile(Arc::new(pages)))
    }

    /// All its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the map is as long as it says and lives as long as `self`; this process never writes to it. Bytes that another
        // process changes in place are read as numbers only: every length is compared with the map's own.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), self.0.len()) }
    }
}

// Miri maps no files.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_whole_elements_on_cache_lines_inside_the_file_are_mapped() {
        let mut file = tempfile::tempfile().expect("a file");
        let numbers: Vec<u8> = (0..64u16).flat_map(|n| f32::from(n).to_le_bytes()).collect();
        file.write_all(&numbers).expect("written");
        let file = PackedFile::map(&file).expect("it maps");
        assert_eq!(file.bytes(), numbers);
        let check = |bytes: Range<usize>, len: usize, first: Option<f32>| {
            let mapped = Frozen::<f32>::mapped(&file, &bytes, len);
            assert_eq!(
                mapped.as_ref().map(|numbers| numbers.first().copied().unwrap_or(-1.0)),
                first,
                "{bytes:?} {len}"
            );
            assert!(mapped.is_none_or(|numbers| numbers.as_bytes() == &file.bytes()[bytes.clone()]));
        };
        check(0..256, 64, Some(0.0));
        check(64..72, 2, Some(16.0));
        check(256..256, 0, Some(-1.0));
        check(0..255, 64, None);
        check(0..256, 63, None);
        check(4..68, 16, None);
        check(192..260, 17, None);
        check(320..320, 0, None);
        check(Range { start: 64, end: 0 }, 0, None);
        check(0..256, usize::MAX, None);
        assert!(PackedFile::map(&tempfile::tempfile().expect("a file")).expect("it maps").bytes().is_empty());
    }
}
