//! Floats of 8 and 4 bits: FP8 as several programs publish it, NVFP4 and MXFP4.

use tensor::DType;

use super::blocks::Fp4;
use super::config::Config;
use super::module::{Module, Place, kind};
use super::scaled::{Codes, Groups, Scaled, Scales};
use super::{Built, Fidelity, How, integers};
use crate::ModelError;
use crate::checkpoint::TensorInfo;

/// A module of compressed-tensors, of ModelOpt or in FP8; its tensors' names and types say what it is. `None` if it is plain.
pub(super) fn or_integers(module: &Module<'_>, config: &Config) -> Result<Option<Built>, ModelError> {
    let kinds = [".weight_packed", ".weight", ".weight_scale"].map(|part| module.kind(part));
    match kinds {
        ["I32", ..] => integers::packed(module, config).map(Some),
        ["U8", _, "F8_E4M3"] => nvfp4(module, config, ".weight_packed").map(Some),
        ["U8", _, "U8"] => mxfp4(module).map(Some),
        ["", "U8", "F8_E4M3"] if module.get(".weight_scale_2").is_some() => nvfp4(module, config, ".weight").map(Some),
        ["", "I8", _] => integers::bytes(module, config).map(Some),
        ["", "F8_E4M3", _] => fp8(module, config).map(Some),
        ["", ..] => Ok(None),
        [other, ..] => Err(module.unsupported(".weight_packed", format!("is stored as {other}, which is not read"))),
    }
}

/// FP8 with a scale for the tensor, for each row, or for each block of rows and columns.
fn fp8(module: &Module<'_>, config: &Config) -> Result<Built, ModelError> {
    let weight = module.part(".weight", &["F8_E4M3"], 2)?;
    let (rows, cols) = (weight.dims[0], weight.dims[1]);
    let part = if module.get(".weight_scale_inv").is_some() { ".weight_scale_inv" } else { ".weight_scale" };
    let tensor = module.part(part, &Scales::KINDS, module.get(part).map_or(0, |t| t.dims.len()))?;
    let (height, width) = match tensor.dims[..] {
        [] | [1] => (1, 1),
        [height] => (height, 1),
        [height, width] => (height, width),
        _ => (0, 0),
    };
    let fits = |count: usize, all: usize| count > 0 && count <= all.max(1);
    let (Some(down), Some(across)) = (span(rows, height), span(cols, width)) else {
        let problem = format!("has the dimensions {:?}, which are no blocks of {rows} × {cols} numbers", tensor.dims);
        return Err(module.invalid(part, problem));
    };
    if !fits(height, rows) || !fits(width, cols) {
        return Err(module.invalid(part, format!("has the dimensions {:?} for {rows} × {cols} numbers", tensor.dims)));
    }
    let scales = Scales { rows: down, ..scales(tensor, width, 1) };
    let scaled = Scaled { codes: Codes::E4m3(Place::of(weight)), scales, groups: Groups::Even(across), rows, cols };
    let what = match (height, width) {
        (1, 1) => "one scale".to_owned(),
        (_, 1) if height == rows => "a scale for each row".to_owned(),
        _ => format!("blocks of {down} × {across}"),
    };
    let dtype = config.wide(kind(tensor));
    Ok(Built {
        how: How::Scaled(scaled),
        dims: [rows, cols],
        dtype,
        fidelity: Fidelity::Widened,
        stored: format!("FP8, {what}"),
    })
}

/// The side of blocks of which `count` cover `len`: the last may be cut. Blocks have powers of two then, mostly 128.
fn span(len: usize, count: usize) -> Option<usize> {
    if count == 0 || count > len {
        return None;
    }
    if len.is_multiple_of(count) {
        return Some(len / count);
    }
    let side = len.div_ceil(count).next_power_of_two();
    (len.div_ceil(side) == count).then_some(side)
}

/// NVFP4: a factor for the tensor, which compressed-tensors divides scales by and ModelOpt multiplies them with. It is multiplied with
/// the products where the graph has a place for that, else everything is widened.
fn nvfp4(module: &Module<'_>, config: &Config, part: &str) -> Result<Built, ModelError> {
    let (rows, cols, codes) = halves(module, part)?;
    if !cols.is_multiple_of(16) {
        return Err(module.invalid(part, format!("has rows of {cols}, which are not whole blocks of 16")));
    }
    let tensor = module.sized(".weight_scale", &["F8_E4M3"], &[rows, cols / 16])?;
    let divides = module.get(".weight_global_scale").is_some();
    let name = if divides { ".weight_global_scale" } else { ".weight_scale_2" };
    let factor = number(module, name)?;
    let by = if divides { (1.0, factor) } else { (factor, 1.0) };
    let own = module.name.contains("layers.") && !module.name.contains(".experts.") && cols.is_multiple_of(64);
    let (how, dtype, fidelity) = if own {
        let nvfp4 = Some(by.0 / by.1);
        (How::Fp4(Fp4 { codes, scales: Place::of(tensor), nvfp4 }), DType::NVFP4, Fidelity::Exact)
    } else {
        let scales = Scales { by, ..scales(tensor, cols / 16, 1) };
        let scaled = Scaled { codes: Codes::E2m1(codes), scales, groups: Groups::Even(16), rows, cols };
        (How::Scaled(scaled), config.wide(""), Fidelity::Widened)
    };
    Ok(Built { how, dims: [rows, cols], dtype, fidelity, stored: "NVFP4".into() })
}

/// MXFP4: scales are powers of two.
fn mxfp4(module: &Module<'_>) -> Result<Built, ModelError> {
    let (rows, cols, codes) = halves(module, ".weight_packed")?;
    if !cols.is_multiple_of(32) {
        return Err(module.invalid(".weight_packed", format!("has rows of {cols}, which are not whole blocks of 32")));
    }
    let scales = Place::of(module.sized(".weight_scale", &["U8"], &[rows, cols / 32])?);
    let how = How::Fp4(Fp4 { codes, scales, nvfp4: None });
    Ok(Built { how, dims: [rows, cols], dtype: DType::MXFP4, fidelity: Fidelity::Exact, stored: "MXFP4".into() })
}

/// Rows, columns and place of numbers of which two are in a byte.
fn halves(module: &Module<'_>, part: &str) -> Result<(usize, usize, Place), ModelError> {
    let weight = module.part(part, &["U8"], 2)?;
    Ok((weight.dims[0], weight.dims[1] * 2, Place::of(weight)))
}

/// The only number of a tensor.
fn number(module: &Module<'_>, part: &str) -> Result<f32, ModelError> {
    let tensor = module.part(part, &["F32"], module.get(part).map_or(1, |t| t.dims.len()))?;
    match Place::of(tensor).bytes(module.files).as_array() {
        Some(bytes) => {
            let number = f32::from_le_bytes(*bytes);
            let sound = number.is_finite() && number > 0.0;
            if sound { Ok(number) } else { Err(module.invalid(part, format!("is {number} and must be positive"))) }
        }
        None => Err(module.invalid(part, format!("has the dimensions {:?}, one number is needed", tensor.dims))),
    }
}

fn scales(tensor: &TensorInfo, line: usize, step: usize) -> Scales {
    let kind = Scales::KINDS.into_iter().find(|name| *name == kind(tensor)).unwrap_or("F32");
    Scales { place: Place::of(tensor), kind, line, step, rows: 1, by: (1.0, 1.0) }
}
