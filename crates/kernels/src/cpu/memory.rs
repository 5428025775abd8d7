//! Zeroed, aligned memory whose allocation may fail, and shared views that tasks write through.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use graph::BackendError;
use memmap2::{MmapOptions, MmapRaw};

use super::simd::{Bytes, Line};

mod frozen;

pub(crate) use frozen::Frozen;
pub use frozen::PackedFile;

/// Types for which any bytes, zeros too, are a value, and which have no padding.
///
/// # Safety
/// Exactly that must hold, and the alignment must be at most 64.
pub(crate) unsafe trait Plain: Copy + Send + Sync {}
// SAFETY: numbers and arrays of numbers.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for Bytes {}
// SAFETY: as above.
unsafe impl Plain for Line {}

/// An owned slice. It starts as zeros, which take no memory until they are touched.
#[derive(Debug)]
pub(crate) struct Buffer<T: Plain> {
    pages: Option<Arc<MmapRaw>>,
    /// Where it begins in the pages, in bytes.
    start: usize,
    len: usize,
    /// Whether the pages are a slab's, which others have parts of.
    in_slab: bool,
    of: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// No elements.
    pub(crate) fn empty() -> Buffer<T> {
        Buffer { pages: None, start: 0, len: 0, in_slab: false, of: PhantomData }
    }

    /// `len` zeros for `what`.
    pub(crate) fn zeroed(len: usize, what: &'static str) -> Result<Buffer<T>, BackendError> {
        let bytes = len.saturating_mul(size_of::<T>());
        if bytes == 0 {
            return Ok(Buffer::empty());
        }
        Ok(Buffer { pages: Some(Arc::new(map(bytes, what)?)), start: 0, len, in_slab: false, of: PhantomData })
    }

    /// Asks the system for large pages: for what is long and read from end to end.
    pub(crate) fn on_large_pages(self) -> Buffer<T> {
        self.pages.iter().for_each(|pages| prefer_large(pages));
        self
    }

    /// Gives the pages that lie within these elements back to the system: what they hold is lost. They take no memory until they are
    /// touched again.
    pub(crate) fn forget(&mut self, elements: Range<usize>) {
        let elements = elements.start.min(self.len)..elements.end.min(self.len);
        let Some(pages) = &self.pages else { return };
        let byte = |element: usize| self.start + element * size_of::<T>();
        let (start, end) = (byte(elements.start).next_multiple_of(PAGE), byte(elements.end) / PAGE * PAGE);
        if start < end {
            give_back(pages, start, end - start);
        }
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }
}

impl<T: Plain> Buffer<T> {
    fn place(&self) -> *mut T {
        let place = |pages: &Arc<MmapRaw>| pages.as_mut_ptr().wrapping_add(self.start).cast();
        self.pages.as_ref().map_or(NonNull::dangling().as_ptr(), place)
    }
}

/// What is part of a slab takes no memory from here on: the slab itself lives for as long as any other part.
impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.in_slab {
            self.forget(0..self.len);
        }
    }
}

impl<T: Plain> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` plain values, zeros to begin with, in pages that live as long as this, aligned, and handed out once;
        // an empty slice may dangle.
        unsafe { std::slice::from_raw_parts(self.place(), self.len) }
    }
}

impl<T: Plain> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.place(), self.len) }
    }
}

/// Allocates long-lived slices next to each other, so that even small ones lie on large pages. A slice takes no memory
/// once it is dropped; a slab's addresses are freed with its last slice.
#[derive(Debug, Default)]
pub(crate) struct SlabAllocator(Mutex<Slab>);

/// Some pages, and how many bytes of them are taken.
#[derive(Debug, Default)]
struct Slab {
    pages: Weak<MmapRaw>,
    taken: usize,
}

/// Bytes of a slab, if no slice is longer. What is not touched takes no memory.
const SLAB: usize = 128 << 20;
/// The size of large pages on most systems.
const LARGE_PAGE: usize = 2 << 20;

impl SlabAllocator {
    /// `len` zeros for `what`.
    pub(crate) fn zeroed<T: Plain>(&self, len: usize, what: &'static str) -> Result<Buffer<T>, BackendError> {
        let bytes = len.saturating_mul(size_of::<T>());
        if bytes == 0 {
            return Ok(Buffer::empty());
        }
        let mut slab = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = match slab.pages.upgrade().filter(|pages| pages.len() - slab.taken >= bytes) {
            Some(pages) => pages,
            None => {
                let pages = Arc::new(map(bytes.saturating_add(LARGE_PAGE).max(SLAB), what)?);
                prefer_large(&pages);
                let taken = pages.as_mut_ptr().align_offset(LARGE_PAGE);
                *slab = Slab { pages: Arc::downgrade(&pages), taken };
                pages
            }
        };
        let start = slab.taken;
        slab.taken = pages.len().min((start + bytes).next_multiple_of(size_of::<Line>()));
        Ok(Buffer { pages: Some(pages), start, len, in_slab: true, of: PhantomData })
    }
}

/// Pages of zeros.
fn map(bytes: usize, what: &'static str) -> Result<MmapRaw, BackendError> {
    // A slice must not be longer than isize::MAX.
    let pages = if bytes > isize::MAX as usize { None } else { MmapOptions::new().len(bytes).map_anon().ok() };
    Ok(pages.ok_or(BackendError::Memory { what, bytes })?.into())
}

/// The largest pages that are usual on the architecture; other allocations must not share one with what is given back.
const PAGE: usize = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };

/// Gives whole pages, which nobody but the caller sees, back to the system.
#[cfg(all(target_os = "linux", not(miri)))]
fn give_back(pages: &MmapRaw, start: usize, len: usize) {
    // SAFETY: on Linux private anonymous pages are zeros afterwards, which are values of every plain type. The caller has the only
    // access to them (`&mut self`), and the range is within them. If the system refuses, they stay as they are.
    let _ = unsafe { pages.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len) };
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn give_back(_: &MmapRaw, _: usize, _: usize) {}

/// Only a hint: without large pages memory works as well, but walking through it is slower.
#[cfg(all(target_os = "linux", not(miri)))]
fn prefer_large(pages: &MmapRaw) {
    let _ = pages.advise(memmap2::Advice::HugePage);
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn prefer_large(_: &MmapRaw) {}

/// A slice whose parts several tasks write at the same time.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out parts only under the promise of `part` that no two overlap.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Shared<'a, T> {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// `len` elements from `at` on.
    ///
    /// # Safety
    /// No other part that overlaps it is alive.
    pub(crate) unsafe fn part(&self, at: usize, len: usize) -> &'a mut [T] {
        assert!(at <= self.len && len <= self.len - at, "{at} + {len} is beyond {}", self.len);
        // SAFETY: inside the slice, by the assertion; alone, by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }

    /// As [`Shared::part`], to read.
    ///
    /// # Safety
    /// No part that overlaps it is alive.
    pub(crate) unsafe fn view(&self, at: usize, len: usize) -> &'a [T] {
        assert!(at <= self.len && len <= self.len - at, "{at} + {len} is beyond {}", self.len);
        // SAFETY: inside the slice, by the assertion; not written, by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.add(at), len) }
    }
}

/// Numbers as the indices whose bits they are.
pub(crate) fn as_indices(x: &[f32]) -> &[u32] {
    // SAFETY: same size and alignment, and any bits are a u32.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) }
}

/// As [`as_indices`], to write.
pub(crate) fn as_indices_mut(x: &mut [f32]) -> &mut [u32] {
    // SAFETY: same size and alignment, and any bits are an f32 and a u32.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}

/// Bytes that are whole lines, in memory that is aligned as such.
///
/// # Panics
/// If they are not.
pub(crate) fn as_lines(bytes: &[Bytes]) -> &[Line] {
    // SAFETY: any 64 bytes are a line; `align_to` sees to the alignment.
    let (head, lines, tail) = unsafe { bytes.align_to::<Line>() };
    assert!(head.is_empty() && tail.is_empty(), "whole lines");
    lines
}

/// Numbers as whole lines.
///
/// # Panics
/// If they do not begin and end at lines.
pub(crate) fn in_lines(x: &[f32]) -> &[Line] {
    // SAFETY: any 64 bytes are a line; `align_to` sees to the alignment.
    let (head, lines, tail) = unsafe { x.align_to::<Line>() };
    assert!(head.is_empty() && tail.is_empty(), "whole lines");
    lines
}

/// As [`in_lines`], to write.
pub(crate) fn in_lines_mut(x: &mut [f32]) -> &mut [Line] {
    // SAFETY: as above, and a line's numbers are numbers.
    let (head, lines, tail) = unsafe { x.align_to_mut::<Line>() };
    assert!(head.is_empty() && tail.is_empty(), "whole lines");
    lines
}

/// Lines as the numbers in them.
pub(crate) fn as_numbers(lines: &[Line]) -> &[f32] {
    // SAFETY: a line is 16 numbers without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), 16 * lines.len()) }
}

/// As [`as_numbers`], to write.
pub(crate) fn as_numbers_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: as above, and any bits are numbers.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), 16 * lines.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_do_not_overlap() {
        let allocator = SlabAllocator::default();
        let take = |len: usize| allocator.zeroed::<u8>(len, "a test").expect("memory");
        let mut slices: Vec<Buffer<u8>> = [1, 0, 64, 65, 3 << 20, SLAB, 7, SLAB - 64, 1].map(take).into();
        for (i, slice) in slices.iter_mut().enumerate() {
            assert_eq!(slice.as_ptr() as usize % if slice.is_empty() { 1 } else { size_of::<Line>() }, 0);
            for end in [0, slice.len().saturating_sub(1)] {
                assert_eq!(slice.get(end), if slice.is_empty() { None } else { Some(&0) }, "slice {i}");
            }
            slice.first_mut().into_iter().for_each(|x| *x = i as u8 + 1);
            slice.last_mut().into_iter().for_each(|x| *x = i as u8 + 1);
        }
        for (i, slice) in slices.iter().enumerate() {
            assert!(slice.first().into_iter().chain(slice.last()).all(|&x| x == i as u8 + 1), "slice {i}");
        }
        assert_eq!(slices.iter().map(|slice| slice.len()).sum::<usize>(), 138 + (3 << 20) + 2 * SLAB - 64);
        assert!(matches!(allocator.zeroed::<u8>(usize::MAX, "a test"), Err(BackendError::Memory { .. })));
    }

    // Emulators of other architectures need not take pages back.
    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
    #[test]
    fn what_is_dropped_from_a_slab_takes_no_memory() {
        let allocator = SlabAllocator::default();
        let [mut gone, mut stays] = [(); 2].map(|()| allocator.zeroed::<u8>(8 * PAGE, "a test").expect("memory"));
        gone.fill(1);
        stays.fill(2);
        let (pages, start) = (stays.pages.clone().expect("pages"), gone.start);
        drop(gone);
        // SAFETY: these bytes of the slab are nobody's any more.
        let left = unsafe { std::slice::from_raw_parts(pages.as_ptr().add(start), 8 * PAGE) };
        assert!(left.iter().all(|x| *x == 0), "the system has taken the pages back");
        assert!(stays.iter().all(|x| *x == 2));
    }

    // Miri has no system that takes pages back, and would look at each of a million numbers for minutes.
    #[cfg(not(miri))]
    #[test]
    fn what_is_forgotten_loses_whole_pages_and_nothing_beside_them() {
        let mut buffer = Buffer::<f32>::zeroed(64 * PAGE, "a test").expect("memory");
        let page = PAGE / size_of::<f32>();
        let check = |buffer: &mut Buffer<f32>, elements: Range<usize>, lost: Range<usize>| {
            buffer.fill(1.0);
            buffer.forget(elements.clone());
            // Where the system takes nothing back, nothing is lost.
            let lost = if cfg!(target_os = "linux") { lost } else { 0..0 };
            let kept = |(at, x): (usize, &f32)| *x == if lost.contains(&at) { 0.0 } else { 1.0 };
            assert!(buffer.iter().enumerate().all(kept), "{elements:?}");
        };
        check(&mut buffer, 0..0, 0..0);
        check(&mut buffer, 1..page, 0..0);
        check(&mut buffer, 1..2 * page - 1, 0..0);
        check(&mut buffer, page..2 * page, page..2 * page);
        check(&mut buffer, page - 1..3 * page + 5, page..3 * page);
        check(&mut buffer, 62 * page..usize::MAX, 62 * page..64 * PAGE);
        Buffer::<f32>::empty().forget(0..5);
    }

    #[test]
    fn a_slab_is_freed_with_its_last_slice() {
        let allocator = SlabAllocator::default();
        let (a, b) = (
            allocator.zeroed::<f32>(5, "a test").expect("memory"),
            allocator.zeroed::<f32>(5, "a test").expect("memory"),
        );
        let pages = allocator.0.lock().expect("no panics").pages.clone();
        drop(a);
        assert!(pages.upgrade().is_some() && b.iter().all(|&x| x == 0.0));
        drop(b);
        assert!(pages.upgrade().is_none());
    }
}
