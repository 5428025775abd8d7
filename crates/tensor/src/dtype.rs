//! The storage types of weights, one row each: name, GGUF number, block length and block size.

/// How the elements of a weight are stored. Quantized types store blocks of elements along a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)]
pub enum DType {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
    NVFP4,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    TQ1_0,
    TQ2_0,
    Q1_0,
    Q2_0,
    Q4_2OF4,
    Q8_ROW,
}

/// The numbers that describe a [`DType`].
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The type this row describes.
    pub dtype: DType,
    /// The name people write, such as `Q4_K`.
    pub name: &'static str,
    /// The number of the type in a GGUF file (`ggml_type`); from [`OWN_TYPES`] on for types that only Whinchat has.
    pub ggml_id: u32,
    /// Elements in a block.
    pub block_len: usize,
    /// Bytes in a block.
    pub block_bytes: usize,
    /// Bytes in front of a row's blocks: what all of them share.
    pub row_head: usize,
}

const fn row(dtype: DType, name: &'static str, ggml_id: u32, block_len: usize, block_bytes: usize) -> Layout {
    Layout { dtype, name, ggml_id, block_len, block_bytes, row_head: 0 }
}

/// Where the numbers of types begin that only Whinchat has, `WH` in the upper half: far from those of ggml, so that other programs refuse a
/// file with them as one of an unknown type.
pub const OWN_TYPES: u32 = 0x5748_0000;

/// Every type, in the order of the enum.
const LAYOUTS: [Layout; 30] = [
    row(DType::F32, "F32", 0, 1, 4),
    row(DType::F16, "F16", 1, 1, 2),
    row(DType::BF16, "BF16", 30, 1, 2),
    row(DType::Q8_0, "Q8_0", 8, 32, 34),
    row(DType::Q4_0, "Q4_0", 2, 32, 18),
    row(DType::Q4_1, "Q4_1", 3, 32, 20),
    row(DType::Q5_0, "Q5_0", 6, 32, 22),
    row(DType::Q5_1, "Q5_1", 7, 32, 24),
    row(DType::Q2_K, "Q2_K", 10, 256, 84),
    row(DType::Q3_K, "Q3_K", 11, 256, 110),
    row(DType::Q4_K, "Q4_K", 12, 256, 144),
    row(DType::Q5_K, "Q5_K", 13, 256, 176),
    row(DType::Q6_K, "Q6_K", 14, 256, 210),
    row(DType::IQ4_NL, "IQ4_NL", 20, 32, 18),
    row(DType::IQ4_XS, "IQ4_XS", 23, 256, 136),
    row(DType::MXFP4, "MXFP4", 39, 32, 17),
    row(DType::NVFP4, "NVFP4", 40, 64, 36),
    row(DType::IQ1_S, "IQ1_S", 19, 256, 50),
    row(DType::IQ1_M, "IQ1_M", 29, 256, 56),
    row(DType::IQ2_XXS, "IQ2_XXS", 16, 256, 66),
    row(DType::IQ2_XS, "IQ2_XS", 17, 256, 74),
    row(DType::IQ2_S, "IQ2_S", 22, 256, 82),
    row(DType::IQ3_XXS, "IQ3_XXS", 18, 256, 98),
    row(DType::IQ3_S, "IQ3_S", 21, 256, 110),
    row(DType::TQ1_0, "TQ1_0", 34, 256, 54),
    row(DType::TQ2_0, "TQ2_0", 35, 256, 66),
    row(DType::Q1_0, "Q1_0", 41, 128, 18),
    row(DType::Q2_0, "Q2_0", 42, 64, 18),
    row(DType::Q4_2OF4, "Q4_2OF4", OWN_TYPES, 64, 26),
    Layout { row_head: 4, ..row(DType::Q8_ROW, "Q8_ROW", OWN_TYPES + 1, 32, 32) },
];

impl DType {
    /// Every type Whinchat can read.
    pub fn all() -> impl Iterator<Item = DType> {
        LAYOUTS.iter().map(|l| l.dtype)
    }

    /// The numbers of this type.
    pub fn layout(self) -> &'static Layout {
        &LAYOUTS[self as usize]
    }

    /// The name people write, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.layout().name
    }

    /// The type with this number in a GGUF file.
    pub fn from_ggml_id(id: u32) -> Option<DType> {
        LAYOUTS.iter().find(|l| l.ggml_id == id).map(|l| l.dtype)
    }

    /// Bytes that a row of `cols` elements takes; `None` if they are not whole blocks or the size overflows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        let Layout { block_len, block_bytes, row_head, .. } = *self.layout();
        let blocks = if cols.is_multiple_of(block_len) { (cols / block_len).checked_mul(block_bytes) } else { None };
        blocks?.checked_add(row_head)
    }

    /// The elements of so many bytes, which are whole rows of `cols` elements, or whole blocks where rows have nothing in front of them; none
    /// if a row cannot have so many.
    pub fn elements(self, bytes: usize, cols: usize) -> usize {
        let Layout { block_len, block_bytes, row_head, .. } = *self.layout();
        match row_head {
            0 => bytes / block_bytes * block_len,
            _ => self.row_bytes(cols).map_or(0, |row| bytes / row * cols),
        }
    }

    /// Rows that so many bytes and elements are; of types whose rows have nothing in front of them, one. `None` if they do not fit.
    pub(crate) fn rows(self, bytes: usize, elements: usize) -> Option<usize> {
        let row_head = self.layout().row_head;
        if row_head == 0 || bytes == 0 {
            return (self.row_bytes(elements).map(|row| row - row_head) == Some(bytes)).then_some(1);
        }
        let Layout { block_len, block_bytes, .. } = *self.layout();
        let rows = bytes.checked_sub((elements / block_len).checked_mul(block_bytes)?)? / row_head;
        let cols = elements.checked_div(rows)?;
        (rows * cols == elements && self.row_bytes(cols)?.checked_mul(rows) == Some(bytes)).then_some(rows)
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (i, layout) in LAYOUTS.iter().enumerate() {
            assert_eq!(layout.dtype as usize, i);
            assert_eq!(DType::from_ggml_id(layout.ggml_id), Some(layout.dtype));
        }
    }

    #[test]
    fn row_bytes_refuses_partial_blocks_and_overflow() {
        assert_eq!(DType::Q4_K.row_bytes(512), Some(288));
        assert_eq!(DType::Q4_K.row_bytes(257), None);
        assert_eq!(DType::F32.row_bytes(usize::MAX), None);
        assert_eq!(DType::Q8_ROW.row_bytes(96), Some(100));
        assert_eq!(DType::Q8_ROW.row_bytes(33), None);
    }

    #[test]
    fn sizes_say_how_many_rows_there_are() {
        let check = |dtype: DType, bytes, elements, rows| {
            assert_eq!(dtype.rows(bytes, elements), rows, "{dtype} {bytes} {elements}");
        };
        check(DType::Q8_0, 68, 64, Some(1));
        check(DType::Q8_0, 68, 96, None);
        check(DType::Q8_0, 0, 0, Some(1));
        check(DType::Q8_ROW, 0, 0, Some(1));
        check(DType::Q8_ROW, 68, 64, Some(1));
        check(DType::Q8_ROW, 72, 64, Some(2));
        check(DType::Q8_ROW, 3 * 100, 3 * 96, Some(3));
        for (bytes, elements) in
            [(76, 64), (64, 64), (67, 64), (68, 63), (0, 32), (32, 1), (0, usize::MAX), (usize::MAX, 32)]
        {
            check(DType::Q8_ROW, bytes, elements, None);
        }
        assert_eq!(DType::Q8_ROW.elements(3 * 100, 96), 3 * 96);
        assert_eq!(DType::Q8_ROW.elements(300, 33), 0);
        assert_eq!(DType::Q4_0.elements(36, 7), 64);
    }
}
