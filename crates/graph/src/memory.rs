//! What a model's layers remember of a sequence from step to step.

use tensor::DType;

/// The memory of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Keys and values for every position, in the blocks of the KV cache.
    Kv(KvShape),
    /// A state of fixed size for each sequence, in a slot of its own.
    Recurrent {
        /// F32 numbers of a state.
        len: usize,
    },
}

/// What a layer keeps for each position: K and V of `heads` × `head_dim` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// KV heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl KvShape {
    /// Elements of K (and as many of V) that a position takes.
    pub fn width(self) -> usize {
        self.heads * self.head_dim
    }
}

/// How the elements of keys and values are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 4 bytes, exact.
    F32,
    /// 2 bytes, rounded to half precision.
    #[default]
    F16,
    /// A byte, and a scale in half precision for every 32 elements of a head. A device may round queries to a byte too.
    Q8_0,
    /// Half a byte, and a scale in half precision for every 32 elements of a head. A device may round queries to a byte.
    Q4_0,
}

impl KvType {
    /// All of them.
    pub fn all() -> impl Iterator<Item = KvType> {
        [KvType::F32, KvType::F16, KvType::Q8_0, KvType::Q4_0].into_iter()
    }

    /// Its name: `f32`, `f16`, `q8_0`, `q4_0`.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8_0 => "q8_0",
            KvType::Q4_0 => "q4_0",
        }
    }

    /// The storage type of a head's elements. A head is rounded on its own; if its width is not whole blocks, zeros follow.
    pub fn dtype(self) -> DType {
        match self {
            KvType::F32 => DType::F32,
            KvType::F16 => DType::F16,
            KvType::Q8_0 => DType::Q8_0,
            KvType::Q4_0 => DType::Q4_0,
        }
    }

    /// Bytes that the keys and values of one position take in a layer. A device may add padding.
    pub fn position_bytes(self, shape: KvShape) -> usize {
        let layout = self.dtype().layout();
        2 * shape.heads * shape.head_dim.div_ceil(layout.block_len) * layout.block_bytes
    }
}
