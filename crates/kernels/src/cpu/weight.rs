//! A weight in the form that operators read.

use std::ops::Range;

use graph::{BackendError, WeightInfo, WeightRole};
use tensor::{DType, Shape};

use super::memory::{Buffer, Frozen, PackedFile, SlabAllocator};
use super::pool::Pool;
use super::simd::Isa;
use super::tiles::Tiles;

/// A weight on the CPU. Its form follows from its [`WeightRole`], so every graph that declares it so can use it.
#[derive(Debug)]
pub struct Weight {
    shape: Shape,
    dtype: DType,
    form: Form,
}

/// How a weight lies in memory.
#[derive(Debug)]
enum Form {
    /// Packed, for products and embeddings.
    Tiles(Tiles),
    /// Plain numbers, for what is read element by element.
    Values(Frozen<f32>),
}

impl Weight {
    pub(crate) fn new(
        (pool, allocator): (&Pool, &SlabAllocator),
        info: &WeightInfo,
        bytes: &[u8],
    ) -> Result<Weight, BackendError> {
        info.check(bytes)?;
        let form = match info.role {
            WeightRole::Matrix => Form::Tiles(Tiles::pack((pool, allocator), info.dtype, info.shape, bytes)?),
            WeightRole::Elements => Form::Values(decode(allocator, info, bytes)?.into()),
        };
        Ok(Weight { shape: info.shape, dtype: info.dtype, form })
    }

    /// A weight that [`Weight::packed`] gave, with these bytes of a file; `None` if they cannot be what `info` declares. They must
    /// come from a CPU with the same [`Weight::packing`]: that numbers are sound nobody can see.
    pub fn mapped(info: &WeightInfo, file: &PackedFile, bytes: &Range<usize>) -> Option<Weight> {
        info.bytes()?;
        let form = match info.role {
            WeightRole::Matrix => Form::Tiles(Tiles::mapped(info.dtype, info.shape, file, bytes)?),
            WeightRole::Elements => Form::Values(Frozen::mapped(file, bytes, info.shape.elements()?)?),
        };
        Some(Weight { shape: info.shape, dtype: info.dtype, form })
    }

    /// What the bytes of [`Weight::packed`] depend on besides the weight: another CPU may read them if it says the same. The number
    /// grows with every change of how weights are packed.
    pub fn packing(isa: Isa) -> String {
        let order = if cfg!(target_endian = "little") { "little" } else { "big" };
        format!("1 {isa:?} {order}")
    }

    /// Its bytes as they lie in memory.
    pub fn packed(&self) -> &[u8] {
        match &self.form {
            Form::Tiles(tiles) => tiles.as_bytes(),
            Form::Values(values) => values.as_bytes(),
        }
    }

    /// Refuses a weight that is not what `info` declares.
    pub(crate) fn check(given: Option<&Weight>, info: &WeightInfo) -> Result<(), BackendError> {
        let text = |shape: Shape, dtype, role| format!("{shape} {dtype} read as {role:?}");
        let role = |form: &Form| if let Form::Tiles(_) = form { WeightRole::Matrix } else { WeightRole::Elements };
        let wanted = text(info.shape, info.dtype, info.role);
        let given = given.map_or("nothing".into(), |given| text(given.shape, given.dtype, role(&given.form)));
        if given == wanted {
            Ok(())
        } else {
            Err(BackendError::WeightMismatch { name: info.name.clone(), given, wanted })
        }
    }

    /// Memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.form {
            Form::Tiles(tiles) => tiles.bytes(),
            Form::Values(values) => values.bytes(),
        }
    }

    pub(crate) fn tiles(&self) -> &Tiles {
        match &self.form {
            Form::Tiles(tiles) => tiles,
            Form::Values(_) => unreachable!("the graph declares it as a matrix, and was compared"),
        }
    }

    pub(crate) fn values(&self) -> &[f32] {
        match &self.form {
            Form::Values(values) => values,
            Form::Tiles(_) => unreachable!("the graph declares its elements, and was compared"),
        }
    }
}

fn decode(allocator: &SlabAllocator, info: &WeightInfo, bytes: &[u8]) -> Result<Buffer<f32>, BackendError> {
    let mut values = allocator.zeroed(info.shape.elements().unwrap_or(usize::MAX), "a weight")?;
    tensor::decode(info.dtype, bytes, &mut values).expect("the lengths were compared");
    Ok(values)
}
