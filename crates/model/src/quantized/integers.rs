//! GPTQ, AWQ, and the integers of compressed-tensors and bitsandbytes.

use crate::ModelError;

use super::Built;
use super::choice;
use super::config::Config;
use super::module::{Module, Place, kind};
use super::scaled::{Codes, Groups, Scaled, Scales, Zeros};
use super::words::Words;
use crate::checkpoint::TensorInfo;

const PLAIN: [&str; 3] = ["F16", "BF16", "F32"];
const INTEGERS: [&str; 1] = ["I32"];

/// GPTQ: numbers along columns, `[inputs · bits / 32, outputs]`. In its first format (`shifted`) zeros are stored less one.
pub(super) fn gptq(module: &Module<'_>, config: &Config, (bits, shifted): (usize, bool)) -> Result<Built, ModelError> {
    let weight = module.part(".qweight", &INTEGERS, 2)?;
    let (words, rows) = (weight.dims[0], weight.dims[1]);
    let given = module.get(".g_idx").map(|tensor| tensor.dims.iter().product::<usize>());
    // Modules may have other bits than the model: then the list of groups tells.
    let cols = given.unwrap_or(words * 32 / bits);
    let bits = (words * 32).checked_div(cols).unwrap_or(bits);
    if ![2, 3, 4, 8].contains(&bits) || words * 32 != cols * bits || !(rows * bits).is_multiple_of(32) {
        let problem = format!(
            "has the dimensions {:?}, which are not {cols} numbers of 2, 3, 4 or 8 bits for each row",
            weight.dims
        );
        return Err(module.invalid(".qweight", problem));
    }
    let scales = module.part(".scales", &PLAIN, 2)?;
    let count = scales.dims[0];
    module.sized(".scales", &PLAIN, &[count, rows])?;
    let zeros = module.sized(".qzeros", &INTEGERS, &[count, rows * bits / 32])?;
    let groups = groups(module, ".g_idx", (cols, count))?;
    let words = |tensor, down, word, line| Words { place: Place::of(tensor), bits, down, word, line, awq: false };
    let zeros = Zeros::Words(words(zeros, true, 1, rows * bits / 32), i32::from(shifted));
    let scaled = Scaled {
        codes: Codes::Words(words(weight, false, rows, 1), zeros),
        scales: scales_of(scales, 1, rows),
        rows,
        cols,
        groups,
    };
    let stored = format!("GPTQ of {bits} bits, {}", spans(&scaled));
    Ok(choice::built(scaled, module.files, config.wide(kind(scales)), stored))
}

/// AWQ as its `gemm` kernels read it: eight outputs in a word, in an order of their own, `[inputs, outputs / 8]`.
pub(super) fn awq(module: &Module<'_>, config: &Config) -> Result<Built, ModelError> {
    let weight = module.part(".qweight", &INTEGERS, 2)?;
    let (cols, across) = (weight.dims[0], weight.dims[1]);
    let rows = across * 8;
    let scales = module.part(".scales", &PLAIN, 2)?;
    let count = scales.dims[0];
    module.sized(".scales", &PLAIN, &[count, rows])?;
    let zeros = module.sized(".qzeros", &INTEGERS, &[count, across])?;
    let groups = Groups::Even(even(module, (cols, count))?);
    let words = |tensor| Words { place: Place::of(tensor), bits: 4, down: true, word: 1, line: across, awq: true };
    let codes = Codes::Words(words(weight), Zeros::Words(words(zeros), 0));
    let scaled = Scaled { codes, scales: scales_of(scales, 1, rows), groups, rows, cols };
    let stored = format!("AWQ of 4 bits, {}", spans(&scaled));
    Ok(choice::built(scaled, module.files, config.wide(kind(scales)), stored))
}

/// compressed-tensors' `pack-quantized`: numbers along rows, each with half of their range added.
pub(super) fn packed(module: &Module<'_>, config: &Config) -> Result<Built, ModelError> {
    let weight = module.part(".weight_packed", &INTEGERS, 2)?;
    let (rows, across) = (weight.dims[0], weight.dims[1]);
    let [height, cols] = shape(module)?;
    let bits = [4, 8, 2, 1].into_iter().find(|bits| (cols * bits).div_ceil(32) == across && height == rows);
    let Some(bits) = bits else {
        let problem =
            format!("has the dimensions {:?}, which are not {rows} × {cols} numbers of 2, 4 or 8 bits", weight.dims);
        return Err(module.unsupported(".weight_packed", problem));
    };
    let scales = module.part(".weight_scale", &PLAIN, 2)?;
    let count = scales.dims[1];
    module.sized(".weight_scale", &PLAIN, &[rows, count])?;
    let zeros = match module.get(".weight_zero_point") {
        None => Zeros::All(1 << (bits - 1)),
        Some(_) => {
            let zeros = module.sized(".weight_zero_point", &INTEGERS, &[(rows * bits).div_ceil(32), count])?;
            Zeros::Words(Words { place: Place::of(zeros), bits, down: true, word: count, line: 1, awq: false }, 0)
        }
    };
    let codes = Words { place: Place::of(weight), bits, down: false, word: 1, line: across, awq: false };
    let groups = groups(module, ".weight_g_idx", (cols, count))?;
    let scaled = Scaled { codes: Codes::Words(codes, zeros), scales: scales_of(scales, count, 1), groups, rows, cols };
    let stored = format!("compressed-tensors of {bits} bits, {}", spans(&scaled));
    Ok(choice::built(scaled, module.files, config.wide(kind(scales)), stored))
}

/// Integers of 8 bits as they are: compressed-tensors' `int-quantized`. With a scale for each row and activations that are rounded by rows
/// they stay as they are.
pub(super) fn bytes(module: &Module<'_>, config: &Config) -> Result<Built, ModelError> {
    let weight = module.part(".weight", &["I8"], 2)?;
    let (rows, cols) = (weight.dims[0], weight.dims[1]);
    let scales =
        module.part(".weight_scale", &PLAIN, module.get(".weight_scale").map_or(2, |t| t.dims.len().min(2)))?;
    let (line, count) = match scales.dims[..] {
        [] | [1] => (0, 1),
        [height] if height == rows => (1, 1),
        [height, count] if height == rows => (count, count),
        _ => {
            return Err(
                module.invalid(".weight_scale", format!("has the dimensions {:?} for {rows} rows", scales.dims))
            );
        }
    };
    let zeros = match module.get(".weight_zero_point") {
        None => Zeros::All(0),
        Some(_) => Zeros::Bytes(Place::of(module.sized(".weight_zero_point", &["I8"], &[rows, count])?), count),
    };
    let groups = groups(module, ".weight_g_idx", (cols, count))?;
    let symmetric = matches!(zeros, Zeros::All(0));
    let codes = Codes::Bytes(Place::of(weight), zeros);
    let scaled = Scaled { codes, scales: scales_of(scales, line, 1), groups, rows, cols };
    let stored = format!("compressed-tensors of 8 bits, {}", spans(&scaled));
    if symmetric && count == 1 && config.by_token && module.get(".input_scale").is_none() && cols.is_multiple_of(32) {
        return Ok(choice::by_row(scaled, stored + ", activations of 8 bits"));
    }
    Ok(choice::built(scaled, module.files, config.wide(kind(scales)), stored))
}

fn scales_of(tensor: &TensorInfo, line: usize, step: usize) -> Scales {
    let kind = Scales::KINDS.into_iter().find(|name| *name == kind(tensor)).unwrap_or("F32");
    Scales { place: Place::of(tensor), kind, line, step, rows: 1, by: (1.0, 1.0) }
}

/// The two numbers of `weight_shape`.
fn shape(module: &Module<'_>) -> Result<[usize; 2], ModelError> {
    let tensor = module.sized(".weight_shape", &["I64", "I32"], &[2])?;
    let bytes = Place::of(tensor).bytes(module.files);
    let size = bytes.len() / 2;
    let number = |bytes: &[u8]| {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(bytes);
        u64::from_le_bytes(wide).try_into().ok().filter(|&n: &usize| n < 1 << 32)
    };
    match [number(&bytes[..size]), number(&bytes[size..])] {
        [Some(rows), Some(cols)] => Ok([rows, cols]),
        _ => Err(module.invalid(".weight_shape", "has negative or huge numbers".into())),
    }
}

/// Columns of a group, of which there are `count`.
fn even(module: &Module<'_>, (cols, count): (usize, usize)) -> Result<usize, ModelError> {
    if count == 0 || cols == 0 || !cols.is_multiple_of(count) {
        let scales = [".scales", ".weight_scale"].into_iter().find(|part| module.get(part).is_some());
        let problem = format!("has {count} groups, which are not equal parts of {cols} columns");
        return Err(module.invalid(scales.unwrap_or_default(), problem));
    }
    Ok(cols / count)
}

/// The groups of `cols` columns, of which there are `count`. A list that says what would hold without it, or nothing (it is zeros, or -1),
/// counts as none.
fn groups(module: &Module<'_>, part: &str, (cols, count): (usize, usize)) -> Result<Groups, ModelError> {
    let listed = match module.get(part) {
        None => None,
        Some(_) => Some(module.sized(part, &INTEGERS, &[cols])?),
    };
    let all: Vec<i32> = listed.map_or(vec![], |tensor| {
        Place::of(tensor).bytes(module.files).as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
    });
    if all.iter().all(|&group| group == 0) || all.contains(&-1) {
        return even(module, (cols, count)).map(Groups::Even);
    }
    // The last group may be smaller than the others.
    let size = all.iter().position(|&group| group != 0).unwrap_or(cols).max(1);
    if all.iter().enumerate().all(|(col, &group)| group as usize == col / size) && cols.div_ceil(size) == count {
        return Ok(Groups::Even(size));
    }
    let given: Option<Vec<u32>> =
        all.iter().map(|&group| u32::try_from(group).ok().filter(|g| (*g as usize) < count)).collect();
    given.map(Groups::Given).ok_or_else(|| module.invalid(part, format!("names a group that is not one of {count}")))
}

/// The groups in words.
fn spans(scaled: &Scaled) -> String {
    match scaled.groups.size() {
        None => "in the order of activations".into(),
        Some(size) if size >= scaled.cols => "a scale for each row".into(),
        Some(size) => format!("groups of {size}"),
    }
}
