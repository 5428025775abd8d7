//! bitsandbytes: NF4 and FP4 with scales that may be quantized themselves, and integers of 8 bits.

use tensor::DType;

use super::config::Config;
use super::module::{Module, Place};
use super::scaled::{Codes, Groups, Scaled, Scales, encoded, floats};
use super::{Built, Fidelity, How, choice};
use crate::ModelError;
use crate::checkpoint::Files;

/// A matrix of which each element is one of 16 values times the scale of its block; the first of two in the high half of a byte.
#[derive(Clone, Debug)]
pub(super) struct Table {
    codes: Place,
    values: Place,
    scales: Place,
    /// How scales were quantized, if they were.
    nested: Option<Nested>,
    block: usize,
    count: usize,
}

/// Scales as one of 256 values times the scale of their block, with something added.
#[derive(Clone, Copy, Debug)]
struct Nested {
    values: Place,
    scales: Place,
    block: usize,
    plus: f32,
}

/// What bitsandbytes writes beside a matrix.
#[derive(serde::Deserialize)]
struct State {
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f32>,
}

/// The matrix of a module; `None` if it is plain.
pub(super) fn build(module: &Module<'_>, config: &Config) -> Result<Option<Built>, ModelError> {
    const STATES: [(&str, &str); 2] =
        [(".weight.quant_state.bitsandbytes__nf4", "NF4"), (".weight.quant_state.bitsandbytes__fp4", "FP4")];
    if let Some((part, name)) = STATES.into_iter().find(|(part, _)| module.get(part).is_some()) {
        return four_bits(module, part, name).map(Some);
    }
    if module.get(".SCB").is_some() { bytes(module, config).map(Some) } else { Ok(None) }
}

fn four_bits(module: &Module<'_>, part: &str, name: &str) -> Result<Built, ModelError> {
    let state = Place::of(module.part(part, &["U8"], 1)?).bytes(module.files);
    let state: State = serde_json::from_slice(state).map_err(|e| {
        module.invalid(part, format!("is not what bitsandbytes writes ({e}); take a complete copy of the model"))
    })?;
    let dtype = match state.dtype.as_str() {
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "float32" => DType::F32,
        other => return Err(module.unsupported(part, format!("the type \"{other}\" is not read"))),
    };
    let (&[rows, cols], true) = (&state.shape[..], state.blocksize > 0) else {
        return Err(module.invalid(part, format!("has the shape {:?} in blocks of {}", state.shape, state.blocksize)));
    };
    let weight = module.part(".weight", &["U8"], 2)?;
    let count = rows.checked_mul(cols).filter(|count| count.div_ceil(2) == weight.bytes);
    let Some(count) = count else {
        return Err(
            module.invalid(".weight", format!("has {} bytes for {rows} × {cols} numbers of 4 bits", weight.bytes))
        );
    };
    let blocks = count.div_ceil(state.blocksize);
    let place = |part: &str, kind: &str, len: usize| module.sized(part, &[kind], &[len]).map(Place::of);
    let nested = match (module.get(".weight.nested_absmax"), state.nested_blocksize) {
        (None, _) => None,
        (Some(_), Some(block)) if block > 0 => Some(Nested {
            values: place(".weight.nested_quant_map", "F32", 256)?,
            scales: place(".weight.nested_absmax", "F32", blocks.div_ceil(block))?,
            block,
            plus: state.nested_offset.unwrap_or(0.0),
        }),
        (Some(_), _) => return Err(module.invalid(part, "has no nested_blocksize".into())),
    };
    let scales = place(".weight.absmax", if nested.is_some() { "U8" } else { "F32" }, blocks)?;
    let values = place(".weight.quant_map", "F32", 16)?;
    let table = Table { codes: Place::of(weight), values, scales, nested, block: state.blocksize, count };
    let stored = format!(
        "bitsandbytes {name}, blocks of {}{}",
        state.blocksize,
        if nested.is_some() { ", scales of 8 bits" } else { "" }
    );
    Ok(Built { how: How::Table(table), dims: [rows, cols], dtype, fidelity: Fidelity::Widened, stored })
}

/// LLM.int8(): rows are scaled so that their largest number is 127.
fn bytes(module: &Module<'_>, config: &Config) -> Result<Built, ModelError> {
    let weight = module.part(".weight", &["I8"], 2)?;
    let (rows, cols) = (weight.dims[0], weight.dims[1]);
    let place = Place::of(module.sized(".SCB", &["F32"], &[rows])?);
    let scales = Scales { place, kind: "F32", line: 1, step: 1, rows: 1, by: (1.0, 127.0) };
    let codes = Codes::Bytes(Place::of(weight), super::scaled::Zeros::All(0));
    let scaled = Scaled { codes, scales, groups: Groups::Even(cols.max(1)), rows, cols };
    Ok(choice::built(scaled, module.files, config.wide(""), "bitsandbytes of 8 bits, a scale for each row".into()))
}

impl Table {
    /// The matrix in a plain type.
    pub(super) fn read(&self, files: &Files, dtype: DType) -> Vec<u8> {
        let (codes, values) = (self.codes.bytes(files), floats(DType::F32, self.values.bytes(files)));
        let scales = self.scales(files);
        let value = |i: usize| {
            let code = codes[i / 2] >> (4 - i % 2 * 4) & 15;
            values[usize::from(code)] * scales[i / self.block]
        };
        let mut out = Vec::with_capacity(self.count * dtype.layout().block_bytes);
        for from in (0..self.count).step_by(self.block) {
            let run: Vec<f32> = (from..(from + self.block).min(self.count)).map(value).collect();
            out.extend(encoded(dtype, &run));
        }
        out
    }

    fn scales(&self, files: &Files) -> Vec<f32> {
        let bytes = self.scales.bytes(files);
        let Some(nested) = self.nested else { return floats(DType::F32, bytes) };
        let values = floats(DType::F32, nested.values.bytes(files));
        let scales = floats(DType::F32, nested.scales.bytes(files));
        let scale = |(i, &byte): (usize, &u8)| values[usize::from(byte)] * scales[i / nested.block] + nested.plus;
        bytes.iter().enumerate().map(scale).collect()
    }
}
