//! The types that a file's weights can be given, and what becomes of a matrix whose rows do not fit.

use tensor::{DType, OWN_TYPES};

use super::Planned;
use super::mixes::{MIXES, Mix, Place};
use super::write::mostly;

/// What the matrices of a file become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightType {
    /// What they are.
    AsStored,
    /// All of one type.
    One(DType),
    /// More bits for those that are worth them, as llama.cpp mixes them.
    Mixed(Mix),
}

/// `general.file_type` of files whose matrices are mostly of a type.
const FILE_TYPES: [(DType, u32); 30] = [
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
    (DType::IQ2_XXS, 19),
    (DType::IQ2_XS, 20),
    (DType::IQ3_XXS, 23),
    (DType::IQ1_S, 24),
    (DType::IQ4_NL, 25),
    (DType::IQ3_S, 26),
    (DType::IQ2_S, 28),
    (DType::IQ4_XS, 30),
    (DType::IQ1_M, 31),
    (DType::BF16, 32),
    (DType::TQ1_0, 36),
    (DType::TQ2_0, 37),
    (DType::MXFP4, 38),
    (DType::NVFP4, 39),
    (DType::Q1_0, 40),
    (DType::Q2_0, 41),
    (DType::Q4_2OF4, OWN_TYPES),
    (DType::Q8_ROW, OWN_TYPES + 1),
];

/// What embeddings and the head are where all others keep two weights of four: no other weights make up for those that they would lose. Also what
/// a matrix is whose rows do not fit.
const WHOLE: DType = DType::Q4_0;

/// What embeddings and the head are where all others have one scale for a row: a prompt needs the head for its last token alone, and what is
/// rounded coarsely there shows in every logit.
const FINE: DType = DType::Q8_0;

/// The names of `general.file_type`'s numbers, as llama.cpp's `llama_ftype` has them: what a file's weights mostly are.
const FILE_TYPE_NAMES: [(u32, &str); 41] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (33, "Q4_0_4_4"),
    (34, "Q4_0_4_8"),
    (35, "Q4_0_8_8"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4"),
    (39, "NVFP4"),
    (40, "Q1_0"),
    (41, "Q2_0"),
    (OWN_TYPES, "Q4_2OF4"),
    (OWN_TYPES + 1, "Q8_ROW"),
];

/// The name of a `general.file_type`; `None` for a number that is not known.
pub fn file_type_name(file_type: u32) -> Option<&'static str> {
    FILE_TYPE_NAMES.iter().find(|row| row.0 == file_type).map(|row| row.1)
}

impl WeightType {
    /// Every name that [`WeightType::parse`] knows.
    pub fn names() -> Vec<&'static str> {
        writable().map(DType::name).chain(MIXES.iter().map(|row| row.name)).collect()
    }

    /// The type of that name, in capitals or not.
    pub fn parse(name: &str) -> Option<WeightType> {
        let one = writable().find(|d| d.name().eq_ignore_ascii_case(name)).map(WeightType::One);
        one.or_else(|| Mix::parse(name).map(WeightType::Mixed))
    }

    /// What a matrix that is stored as `stored` is wanted to be.
    pub(super) fn of(self, stored: DType, place: &Place<'_>) -> DType {
        let wanted = match self {
            WeightType::AsStored => return stored,
            WeightType::One(DType::Q4_2OF4) if ["token_embd", "output"].contains(&place.stem) => WHOLE,
            WeightType::One(DType::Q8_ROW) if ["token_embd", "output"].contains(&place.stem) => FINE,
            WeightType::One(dtype) => dtype,
            WeightType::Mixed(mix) => mix.of(place),
        };
        if costs_more(wanted, stored) { stored } else { wanted }
    }

    /// Its name, as [`WeightType::parse`] reads it; `as stored` has none that can be read.
    pub fn name(self) -> &'static str {
        match self {
            WeightType::AsStored => "as stored",
            WeightType::One(dtype) => dtype.name(),
            WeightType::Mixed(mix) => mix.name(),
        }
    }

    /// The number of `general.file_type` for a file of these tensors.
    pub fn file_type_of(self, tensors: &[Planned]) -> u32 {
        self.file_type(mostly(tensors))
    }

    /// `general.file_type` of a file of these weights, most of which are `mostly`.
    pub(super) fn file_type(self, mostly: DType) -> u32 {
        match self {
            WeightType::Mixed(mix) => mix.file_type(),
            _ => FILE_TYPES.iter().find(|row| row.0 == mostly).map_or(0, |row| row.1),
        }
    }
}

/// The types that there are encoders for.
fn writable() -> impl Iterator<Item = DType> {
    DType::all().filter(|&dtype| tensor::encoder(dtype).is_some())
}

/// Whether a quantized matrix would be quantized again to a type with as many bits or more, from which nothing is won.
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
        DType::Q4_2OF4 => WHOLE,
        other => other,
    };
    [wanted, smaller].into_iter().find(|d| d.row_bytes(cols).is_some()).unwrap_or(DType::F16)
}
