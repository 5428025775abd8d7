//! Zeroed, aligned memory that says when it cannot be had, and the shared views that pieces of work write through.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use graph::BackendError;
use memmap2::{MmapOptions, MmapRaw};

use super::simd::{Bytes, Line};

/// Types of which any bytes, zeros too, are a value.
///
/// # Safety
/// Exactly that must hold, and the alignment be at most 64.
pub(crate) unsafe trait Plain: Copy + Send + Sync {}
// SAFETY: numbers and arrays of numbers.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for Bytes {}
// SAFETY: as above.
unsafe impl Plain for Line {}

/// A slice of its own. It starts as zeros that cost nothing until they are touched.
#[derive(Debug)]
pub(crate) struct Buffer<T: Plain> {
    pages: Option<Arc<MmapRaw>>,
    /// Bytes before it in the pages.
    start: usize,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// No elements.
    pub(crate) fn empty() -> Buffer<T> {
        Buffer { pages: None, start: 0, len: 0, of: PhantomData }
    }

    /// `len` zeros for `what`.
    pub(crate) fn zeroed(len: usize, what: &'static str) -> Result<Buffer<T>, BackendError> {
        let bytes = len.saturating_mul(size_of::<T>());
        if bytes == 0 {
            return Ok(Buffer::empty());
        }
        Ok(Buffer { pages: Some(Arc::new(map(bytes, what)?)), start: 0, len, of: PhantomData })
    }

    /// On large pages where the system has them: for what is long and read from end to end.
    pub(crate) fn on_large_pages(self) -> Buffer<T> {
        self.pages.iter().for_each(|pages| prefer_large(pages));
        self
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

/// Memory for slices that stay for long, side by side, so that the small ones too lie on large pages. A board of them is given
/// back when its last slice goes.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Board>);

/// Pages, and how many bytes of them are taken.
#[derive(Debug, Default)]
struct Board {
    pages: Weak<MmapRaw>,
    taken: usize,
}

/// Bytes of a board, if no slice is longer. What is not touched costs nothing.
const BOARD: usize = 128 << 20;
/// As most systems have them.
const LARGE_PAGE: usize = 2 << 20;

impl Shelf {
    /// `len` zeros for `what`.
    pub(crate) fn zeroed<T: Plain>(&self, len: usize, what: &'static str) -> Result<Buffer<T>, BackendError> {
        let bytes = len.saturating_mul(size_of::<T>());
        if bytes == 0 {
            return Ok(Buffer::empty());
        }
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = match board.pages.upgrade().filter(|pages| pages.len() - board.taken >= bytes) {
            Some(pages) => pages,
            None => {
                let pages = Arc::new(map(bytes.saturating_add(LARGE_PAGE).max(BOARD), what)?);
                prefer_large(&pages);
                let taken = pages.as_mut_ptr().align_offset(LARGE_PAGE);
                *board = Board { pages: Arc::downgrade(&pages), taken };
                pages
            }
        };
        let start = board.taken;
        board.taken = pages.len().min((start + bytes).next_multiple_of(size_of::<Line>()));
        Ok(Buffer { pages: Some(pages), start, len, of: PhantomData })
    }
}

/// Pages of zeros.
fn map(bytes: usize, what: &'static str) -> Result<MmapRaw, BackendError> {
    // A slice must not be longer than isize::MAX.
    let pages = if bytes > isize::MAX as usize { None } else { MmapOptions::new().len(bytes).map_anon().ok() };
    Ok(pages.ok_or(BackendError::Memory { what, bytes })?.into())
}

/// Only a wish: without large pages memory is as good, but slower to walk through.
#[cfg(target_os = "linux")]
fn prefer_large(pages: &MmapRaw) {
    let _ = pages.advise(memmap2::Advice::HugePage);
}

#[cfg(not(target_os = "linux"))]
fn prefer_large(_: &MmapRaw) {}

/// A slice whose parts several pieces of work write at the same time.
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

/// Numbers as the lines that they fill.
///
/// # Panics
/// If they do not begin and end with a line.
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
    fn slices_of_a_shelf_are_each_ones_own() {
        let shelf = Shelf::default();
        let take = |len: usize| shelf.zeroed::<u8>(len, "a test").expect("memory");
        let mut slices: Vec<Buffer<u8>> = [1, 0, 64, 65, 3 << 20, BOARD, 7, BOARD - 64, 1].map(take).into();
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
        assert_eq!(slices.iter().map(|slice| slice.len()).sum::<usize>(), 138 + (3 << 20) + 2 * BOARD - 64);
        assert!(matches!(shelf.zeroed::<u8>(usize::MAX, "a test"), Err(BackendError::Memory { .. })));
    }

    #[test]
    fn a_board_goes_with_its_last_slice() {
        let shelf = Shelf::default();
        let (a, b) =
            (shelf.zeroed::<f32>(5, "a test").expect("memory"), shelf.zeroed::<f32>(5, "a test").expect("memory"));
        let pages = shelf.0.lock().expect("no panics").pages.clone();
        drop(a);
        assert!(pages.upgrade().is_some() && b.iter().all(|&x| x == 0.0));
        drop(b);
        assert!(pages.upgrade().is_none());
    }
}
