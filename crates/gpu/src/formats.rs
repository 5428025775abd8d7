//! How weights lie on the device: a row's blocks without padding, what is not whole words of a block apart.

use tensor::DType;

/// A type as kernels read it. Of each block the bytes of the head are kept together in whole words, and those of the tail in a
/// plane of their own, where a row of them is padded to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Elements of a block.
    pub(crate) len: usize,
    /// Bytes of a block.
    pub(crate) bytes: usize,
    /// Where its head begins and how long it is.
    pub(crate) head: (usize, usize),
    /// Where its tail begins and how long it is.
    pub(crate) tail: (usize, usize),
}

/// The types that kernels read.
pub fn supported() -> Vec<DType> {
    DType::all().filter(|&dtype| format(dtype).is_some()).collect()
}

/// How kernels read a type; `None` if they do not.
pub(crate) fn format(dtype: DType) -> Option<Format> {
    let (head, tail) = match dtype {
        // As if in blocks of 8, so that rows are whole units.
        DType::F32 => return Some(Format { len: 8, bytes: 32, head: (0, 32), tail: (0, 0) }),
        DType::F16 | DType::BF16 => return Some(Format { len: 8, bytes: 16, head: (0, 16), tail: (0, 0) }),
        DType::Q8_0 => ((2, 32), (0, 2)),
        DType::Q4_0 => ((2, 16), (0, 2)),
        DType::MXFP4 => ((1, 16), (0, 1)),
        DType::Q4_K => ((0, 144), (0, 0)),
        DType::Q5_K => ((0, 176), (0, 0)),
        DType::Q6_K => ((0, 208), (208, 2)),
        _ => return None,
    };
    let layout = dtype.layout();
    Some(Format { len: layout.block_len, bytes: layout.block_bytes, head, tail })
}

/// What reads units of the type.
pub(crate) fn texts(dtype: DType) -> Vec<&'static str> {
    let own = match dtype {
        DType::F32 => include_str!("wgsl/types/f32.wgsl"),
        DType::F16 => include_str!("wgsl/types/f16.wgsl"),
        DType::BF16 => include_str!("wgsl/types/bf16.wgsl"),
        DType::Q8_0 => include_str!("wgsl/types/q8_0.wgsl"),
        DType::Q4_0 => include_str!("wgsl/types/q4_0.wgsl"),
        DType::MXFP4 => include_str!("wgsl/types/mxfp4.wgsl"),
        DType::Q4_K => include_str!("wgsl/types/q4_k.wgsl"),
        DType::Q5_K => include_str!("wgsl/types/q5_k.wgsl"),
        DType::Q6_K => include_str!("wgsl/types/q6_k.wgsl"),
        other => unreachable!("{other} is converted when it is uploaded"),
    };
    let scales = matches!(dtype, DType::Q4_K | DType::Q5_K).then_some(include_str!("wgsl/types/scales.wgsl"));
    [Some(include_str!("wgsl/types/common.wgsl")), scales, Some(own)].into_iter().flatten().collect()
}

impl Format {
    /// Blocks of a row, the last one padded where the type is plain.
    pub(crate) fn blocks(&self, cols: usize) -> usize {
        cols.div_ceil(self.len)
    }

    /// Words of a row in the plane of heads.
    pub(crate) fn stride(&self, cols: usize) -> usize {
        self.blocks(cols) * self.head.1 / 4
    }

    /// Words of a row in the plane of tails.
    pub(crate) fn tail_stride(&self, cols: usize) -> usize {
        (self.blocks(cols) * self.tail.1).div_ceil(4)
    }

    /// Bytes of a row on the device.
    pub(crate) fn row_bytes(&self, cols: usize) -> usize {
        4 * (self.stride(cols) + self.tail_stride(cols))
    }

    /// The rows' planes of heads and of tails. `rows` are whole rows of `row` bytes.
    pub(crate) fn pack(&self, cols: usize, row: usize, rows: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut heads, mut tails) = (vec![], vec![]);
        for row in rows.chunks_exact(row) {
            let ends = [(&mut heads, self.head, self.stride(cols)), (&mut tails, self.tail, self.tail_stride(cols))];
            for (plane, (at, len), stride) in ends {
                let end = plane.len() + 4 * stride;
                if len > 0 {
                    for block in row.chunks(self.bytes) {
                        plane.extend_from_slice(&block[at.min(block.len())..(at + len).min(block.len())]);
                    }
                }
                plane.resize(end, 0);
            }
        }
        (heads, tails)
    }
}
