//! What comes back: bytes that begin where a number may, so that logits are used where they were received.

/// The bytes of an answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Never shorter than before: the next answer may be as long as the last one.
    words: Vec<u32>,
    length: usize,
}

impl Answer {
    /// The place for so many bytes, with what was there before in it.
    pub fn place(&mut self, length: usize) -> &mut [u8] {
        self.length = length;
        let words = length.div_ceil(size_of::<u32>());
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        &mut bytemuck::cast_slice_mut(&mut self.words)[..length]
    }

    /// Puts these bytes in the place of those that are there.
    pub fn replace(&mut self, bytes: &[u8]) {
        self.place(bytes.len()).copy_from_slice(bytes);
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }

    /// Turns the bytes from `at` on into numbers of this machine; gives how many, or `None` if they end within one.
    pub(super) fn numbers(&mut self, at: usize) -> Option<usize> {
        let whole = at.is_multiple_of(size_of::<u32>()) && self.length.is_multiple_of(size_of::<u32>());
        if !whole || at > self.length {
            return None;
        }
        let words = &mut self.words[at / size_of::<u32>()..self.length / size_of::<u32>()];
        if cfg!(target_endian = "big") {
            words.iter_mut().for_each(|word| *word = u32::from_le(*word));
        }
        Some(words.len())
    }

    /// The numbers from byte `at` on.
    pub(super) fn floats(&self, at: usize) -> &[f32] {
        bytemuck::cast_slice(&self.words[at / size_of::<u32>()..self.length / size_of::<u32>()])
    }
}
