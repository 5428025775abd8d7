//! The types that a file's weights can be given, and what becomes of a matrix whose rows do not fit.

use tensor::DType;

/// What the matrices of a file become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightType {
    /// What they are.
    AsStored,
    /// All of one type.
    One(DType),
}

/// `general.file_type` of files whose matrices are mostly of a type.
const FILE_TYPES: [(DType, u32); 16] = [
    (DType::F32, 0),
    (DType::F16, 1),
    (DType::Q4_0, 2),
    (DType::Q4_1, 3),
    (DType::Q8_0, 7),
    (DType::Q5_0, 8),
    (DType::Q5_1, 9),
    (DType::Q2_K, 10),
    (DType::Q3_K, 11),
    (DType::Q4_K, 14),
    (DType::Q5_K, 16),
    (DType::Q6_K, 18),
    (DType::IQ4_NL, 25),
    (DType::IQ4_XS, 30),
    (DType::BF16, 32),
    (DType::MXFP4, 38),
];

impl WeightType {
    /// Every name that [`WeightType::parse`] knows.
    pub fn names() -> Vec<&'static str> {
        DType::all().map(DType::name).collect()
    }

    /// The type of that name, in capitals or not.
    pub fn parse(name: &str) -> Option<WeightType> {
        DType::all().find(|d| d.name().eq_ignore_ascii_case(name)).map(WeightType::One)
    }

    /// What a matrix that is stored as `stored` is wanted to be.
    pub(super) fn of(self, stored: DType) -> DType {
        match self {
            WeightType::One(dtype) if !costs_more(dtype, stored) => dtype,
            _ => stored,
        }
    }
}

/// Whether a quantized matrix would be quantized again to a type with more bits, from which nothing is won.
fn costs_more(dtype: DType, stored: DType) -> bool {
    let quantized = |d: DType| d.layout().block_len > 1;
    quantized(dtype) && quantized(stored) && bits(dtype) >= bits(stored)
}

fn bits(dtype: DType) -> f64 {
    let layout = dtype.layout();
    layout.block_bytes as f64 * 8.0 / layout.block_len as f64
}

/// The type of a matrix with rows of `cols`: the wanted one, or llama.cpp's next one of smaller blocks, or halves.
pub(super) fn fitting(wanted: DType, cols: usize) -> DType {
    let smaller = match wanted {
        DType::Q2_K | DType::Q3_K => DType::Q4_0,
        DType::Q4_K => DType::Q5_0,
        DType::Q5_K => DType::Q5_1,
        DType::Q6_K => DType::Q8_0,
        DType::IQ4_XS => DType::IQ4_NL,
        other => other,
    };
    [wanted, smaller].into_iter().find(|d| d.row_bytes(cols).is_some()).unwrap_or(DType::F16)
}

/// `general.file_type` of a file whose matrices are mostly `dtype`.
pub(super) fn file_type(dtype: DType) -> u32 {
    FILE_TYPES.iter().find(|row| row.0 == dtype).map_or(0, |row| row.1)
}
