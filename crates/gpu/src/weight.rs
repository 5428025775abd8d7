//! A weight on the device.

use graph::{BackendError, WeightInfo, WeightRole};
use tensor::{DType, Shape};

use crate::buffers::{Block, Kind, Pool};
use crate::formats::{self, Format};
use crate::staging::Staging;

/// A weight as kernels read it, in parts of whole rows that are no larger than a kernel can be given. A matrix of a type that no
/// kernel reads is kept as F16, and single elements as F32.
#[derive(Debug)]
pub struct Weight {
    shape: Shape,
    dtype: DType,
    role: WeightRole,
    stored: DType,
    parts: Vec<Part>,
}

/// Rows of a weight.
#[derive(Debug)]
pub(crate) struct Part {
    /// The first of them, of all matrices.
    pub(crate) first: usize,
    /// How many.
    pub(crate) count: usize,
    pub(crate) block: Block,
}

/// Bytes that are packed at once.
const PIECE: usize = 8 << 20;
/// Rows of a part at most, so that workgroups can be counted.
const PART_ROWS: usize = 1 << 17;

impl Weight {
    pub(crate) fn new(
        (pool, staging): (&Pool, &Staging),
        info: &WeightInfo,
        bytes: &[u8],
    ) -> Result<Weight, BackendError> {
        info.check(bytes)?;
        let stored = stored(info);
        let mut weight = Weight { shape: info.shape, dtype: info.dtype, role: info.role, stored, parts: vec![] };
        let (format, rows) = (weight.format(), weight.rows());
        let row_bytes = format.row_bytes(weight.cols()) as u64;
        let most = usize::try_from(pool.binding() / row_bytes).unwrap_or(usize::MAX).min(PART_ROWS);
        if most == 0 {
            return Err(BackendError::Memory { what: "a row of a weight", bytes: row_bytes as usize });
        }
        for first in (0..rows).step_by(most) {
            let count = most.min(rows - first);
            let block = pool.take(Kind::Weights, row_bytes * count as u64, "a weight")?;
            weight.parts.push(Part { first, count, block });
        }
        weight.parts.iter().for_each(|part| weight.write(part, staging, bytes));
        Ok(weight)
    }

    /// Packs the rows of a part, piece by piece.
    fn write(&self, part: &Part, staging: &Staging, bytes: &[u8]) {
        let (format, cols, row) = (self.format(), self.cols(), bytes.len() / self.rows());
        let (stride, tail) = (4 * format.stride(cols) as u64, 4 * format.tail_stride(cols) as u64);
        let tails = part.block.offset() + stride * part.count as u64;
        let step = (PIECE / row).max(1);
        for done in (0..part.count).step_by(step) {
            let rows = &bytes[(part.first + done) * row..][..step.min(part.count - done) * row];
            let (heads, ends) = if self.stored == self.dtype {
                format.pack(cols, row, rows)
            } else {
                let converted = convert((self.dtype, self.stored), rows, self.shape.cols);
                let row = converted.len() / (rows.len() / row);
                format.pack(cols, row, &converted)
            };
            let at = [part.block.offset() + stride * done as u64, tails + tail * done as u64];
            staging.write(part.block.buffer(), &[(at[0], &heads), (at[1], &ends)]);
        }
    }

    /// Rows on the device: single elements are one.
    fn rows(&self) -> usize {
        match self.role {
            WeightRole::Matrix => self.shape.outer * self.shape.rows,
            WeightRole::Elements => 1,
        }
    }

    fn cols(&self) -> usize {
        match self.role {
            WeightRole::Matrix => self.shape.cols,
            WeightRole::Elements => self.shape.elements().unwrap_or(0),
        }
    }

    /// The type in which it is kept.
    pub fn stored(&self) -> DType {
        self.stored
    }

    pub(crate) fn format(&self) -> Format {
        formats::format(self.stored).unwrap_or_else(|| unreachable!("{} is converted", self.stored))
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Memory of the device that it takes, in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.block.size()).sum()
    }

    /// Refuses a weight that is not what `info` declares.
    pub(crate) fn check(given: Option<&Weight>, info: &WeightInfo) -> Result<(), BackendError> {
        let text = |shape: Shape, dtype, role| format!("{shape} {dtype} read as {role:?}");
        let wanted = text(info.shape, info.dtype, info.role);
        let given = given.map_or("nothing".into(), |given| text(given.shape, given.dtype, given.role));
        if given == wanted {
            Ok(())
        } else {
            Err(BackendError::WeightMismatch { name: info.name.clone(), given, wanted })
        }
    }
}

/// The type in which a weight is kept on the device.
pub(crate) fn stored(info: &WeightInfo) -> DType {
    match info.role {
        WeightRole::Elements => DType::F32,
        WeightRole::Matrix if formats::format(info.dtype).is_some() => info.dtype,
        WeightRole::Matrix => DType::F16,
    }
}

/// Bytes of the device that a weight will take.
pub(crate) fn bytes(info: &WeightInfo) -> u64 {
    let cols = if info.role == WeightRole::Matrix { info.shape.cols } else { info.shape.elements().unwrap_or(0) };
    let rows = if info.role == WeightRole::Matrix { info.shape.outer * info.shape.rows } else { 1 };
    formats::format(stored(info)).map_or(0, |format| format.row_bytes(cols) as u64 * rows as u64)
}

/// Rows of `cols` elements in another type.
fn convert((from, to): (DType, DType), bytes: &[u8], cols: usize) -> Vec<u8> {
    let mut numbers = vec![0.0; from.elements(bytes.len(), cols)];
    tensor::decode(from, bytes, &mut numbers).unwrap_or_else(|e| unreachable!("the lengths were compared: {e}"));
    let mut made = vec![0; to.row_bytes(numbers.len()).unwrap_or(0)];
    tensor::encode(to, &numbers, &mut made).unwrap_or_else(|e| unreachable!("plain types are written: {e}"));
    made
}
