//! A weight in the form that operators read.

use graph::{BackendError, WeightInfo, WeightRole};
use tensor::{DType, Shape};

use super::memory::{Buffer, SlabAllocator};
use super::pool::Pool;
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
    Values(Buffer<f32>),
}

impl Weight {
    pub(crate) fn new(
        (pool, allocator): (&Pool, &SlabAllocator),
        info: &WeightInfo,
        bytes: &[u8],
    ) -> Result<Weight, BackendError> {
        let wanted = info.bytes().unwrap_or(usize::MAX);
        if bytes.len() != wanted {
            return Err(BackendError::WeightLength { name: info.name.clone(), given: bytes.len(), wanted });
        }
        let form = match info.role {
            WeightRole::Matrix => Form::Tiles(Tiles::pack((pool, allocator), info.dtype, info.shape, bytes)?),
            WeightRole::Elements => Form::Values(decode(allocator, info, bytes)?),
        };
        Ok(Weight { shape: info.shape, dtype: info.dtype, form })
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
