//! A sub-allocator: places in few large chunks, within a budget. It knows sizes only, no device.

use std::collections::BTreeMap;

/// Chunks of memory and what of them is free.
#[derive(Debug)]
pub struct Heap {
    budget: u64,
    chunk: u64,
    align: u64,
    chunks: Vec<Option<Chunk>>,
}

/// A chunk: where its free ranges begin, and how long they are. Two are never next to each other.
#[derive(Debug)]
struct Chunk {
    size: u64,
    free: BTreeMap<u64, u64>,
}

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which chunk.
    pub chunk: usize,
    /// From which byte of it on; a multiple of the alignment.
    pub offset: u64,
    /// Bytes, rounded up to the alignment.
    pub size: u64,
}

impl Heap {
    /// At most `budget` bytes, in chunks that grow with what is held up to `chunk` bytes; what is larger has one of its own. Places begin
    /// at multiples of `align`.
    ///
    /// # Panics
    /// If `align` or `chunk` is 0.
    pub fn new(budget: u64, chunk: u64, align: u64) -> Heap {
        assert!(align > 0 && chunk > 0, "places have an alignment and chunks a size");
        Heap { budget, chunk: chunk.next_multiple_of(align), align, chunks: vec![] }
    }

    /// A place for so many bytes, and the size of its chunk if that is new; `None` if it is over the budget. The smallest free range
    /// that is large enough is taken.
    pub fn take(&mut self, bytes: u64) -> Option<(Place, Option<u64>)> {
        let size = bytes.max(1).checked_next_multiple_of(self.align)?;
        let ranges = |(i, chunk): (usize, &Option<Chunk>)| {
            let fits = chunk.iter().flat_map(|chunk| &chunk.free).filter(|&(_, &len)| len >= size);
            fits.map(|(&offset, &len)| (len, i, offset)).collect::<Vec<_>>()
        };
        if let Some((_, chunk, offset)) = self.chunks.iter().enumerate().flat_map(ranges).min() {
            self.chunks[chunk].as_mut()?.cut(offset, size);
            return Some((Place { chunk, offset, size }, None));
        }
        let left = self.budget.saturating_sub(self.held());
        // Small ones first, so that little is held for little.
        let usual = self.held().clamp(self.chunk / 64, self.chunk).next_multiple_of(self.align);
        let new = if size > usual { size } else { usual.min(left / self.align * self.align) };
        if size > new || new > left {
            return None;
        }
        let mut made = Chunk { size: new, free: BTreeMap::from([(0, new)]) };
        made.cut(0, size);
        let chunk = self.chunks.iter().position(Option::is_none).unwrap_or(self.chunks.len());
        if chunk == self.chunks.len() {
            self.chunks.push(None);
        }
        self.chunks[chunk] = Some(made);
        Some((Place { chunk, offset: 0, size }, Some(new)))
    }

    /// Frees a place; gives its chunk if nothing is left in it, which is gone then.
    pub fn give(&mut self, place: Place) -> Option<usize> {
        let chunk = self.chunks[place.chunk].as_mut()?;
        chunk.join(place.offset, place.size);
        if chunk.free.get(&0) != Some(&chunk.size) {
            return None;
        }
        self.chunks[place.chunk] = None;
        Some(place.chunk)
    }

    /// Sets the budget; what is held stays, be it more.
    pub fn limit(&mut self, budget: u64) {
        self.budget = budget;
    }

    /// Bytes of all chunks.
    pub fn held(&self) -> u64 {
        self.chunks.iter().flatten().map(|chunk| chunk.size).sum()
    }

    /// Bytes of all places.
    pub fn taken(&self) -> u64 {
        let free = |chunk: &Chunk| chunk.free.values().sum::<u64>();
        self.chunks.iter().flatten().map(|chunk| chunk.size - free(chunk)).sum()
    }

    /// Bytes that may be held at most.
    pub fn budget(&self) -> u64 {
        self.budget
    }
}

impl Chunk {
    /// Takes the beginning of a free range.
    fn cut(&mut self, offset: u64, size: u64) {
        let len = self.free.remove(&offset).unwrap_or(size);
        if len > size {
            self.free.insert(offset + size, len - size);
        }
    }

    /// Frees a range, together with the free ones before and behind it.
    fn join(&mut self, offset: u64, size: u64) {
        let (mut start, mut end) = (offset, offset + size);
        if let Some((&before, &len)) = self.free.range(..offset).next_back()
            && before + len == offset
        {
            start = before;
        }
        if let Some(len) = self.free.remove(&end) {
            end += len;
        }
        self.free.insert(start, end - start);
    }
}
