//! The numbers of tensor types in a GGUF file, also of those that Whinchat cannot read: their sizes are needed to check
//! the file, their names to say what is missing.

use tensor::DType;

/// A tensor type as the file has it.
pub(super) struct Stored {
    pub(super) dtype: Result<DType, String>,
    /// Elements and bytes of a block; `None` for a number that nobody has defined.
    pub(super) block: Option<(usize, usize)>,
}

/// Number, name, elements in a block, bytes in a block.
const UNREAD: [(u32, &str, usize, usize); 10] = [
    (9, "Q8_1", 32, 36),
    (15, "Q8_K", 256, 292),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (31, "Q4_0_4_4", 32, 18),
    (32, "Q4_0_4_8", 32, 18),
    (33, "Q4_0_8_8", 32, 18),
];

/// The type with the number `id`.
pub(super) fn stored(id: u32) -> Stored {
    if let Some(dtype) = DType::from_ggml_id(id) {
        let layout = dtype.layout();
        return Stored { dtype: Ok(dtype), block: Some((layout.block_len, layout.block_bytes)) };
    }
    match UNREAD.iter().find(|row| row.0 == id) {
        Some(&(_, name, len, bytes)) => Stored { dtype: Err(name.to_string()), block: Some((len, bytes)) },
        None => Stored { dtype: Err(format!("ggml type {id}")), block: None },
    }
}
