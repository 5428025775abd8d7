//! llama.cpp's mixes of types (Q4_K_M …): which matrices of a model are worth more bits than the others.

use tensor::DType;

/// A mix, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix(usize);

/// Where a matrix is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// `attn_v`, `ffn_down_exps`, `output` …
    pub(super) stem: &'a str,
    pub(super) layer: usize,
    pub(super) cols: usize,
    pub(super) shape: ModelShape,
}

/// What of a model decides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ModelShape {
    pub(super) layers: usize,
    pub(super) experts: usize,
    /// The embedding is the output matrix too.
    pub(super) tied: bool,
}

/// A row: the type of most matrices, and of those that get another.
pub(super) struct Row {
    pub(super) name: &'static str,
    file_type: u32,
    base: DType,
    values: Layers,
    down: Layers,
    attention: DType,
    /// Of models with eight experts.
    attention_of_eight: DType,
}

/// Which layers get which type.
enum Layers {
    /// All.
    All(DType),
    /// So many of the first, and the others.
    First(usize, DType, DType),
    /// The first of so many parts, and the others.
    Part(usize, DType, DType),
    /// The first and the last eighth and every third between, and the others.
    Ends(DType, DType),
}

const fn row(name: &'static str, file_type: u32, base: DType, values: Layers, down: Layers) -> Row {
    Row { name, file_type, base, values, down, attention: base, attention_of_eight: Q5_K }
}

use DType::{Q3_K, Q4_K, Q5_K, Q6_K};
use Layers::{All, Ends, First, Part};

pub(super) const MIXES: [Row; 7] = [
    row("Q3_K_S", 11, Q3_K, All(Q3_K), All(Q3_K)),
    Row { attention: Q4_K, ..row("Q3_K_M", 12, Q3_K, First(2, Q5_K, Q4_K), Part(16, Q5_K, Q4_K)) },
    Row { attention: Q5_K, attention_of_eight: Q3_K, ..row("Q3_K_L", 13, Q3_K, All(Q5_K), All(Q5_K)) },
    row("Q4_K_S", 14, Q4_K, First(4, Q5_K, Q4_K), Part(8, Q5_K, Q4_K)),
    row("Q4_K_M", 15, Q4_K, Ends(Q6_K, Q4_K), Ends(Q6_K, Q4_K)),
    row("Q5_K_S", 16, Q5_K, All(Q5_K), All(Q5_K)),
    row("Q5_K_M", 17, Q5_K, Ends(Q6_K, Q5_K), Ends(Q6_K, Q5_K)),
];

impl Mix {
    pub(super) fn parse(name: &str) -> Option<Mix> {
        MIXES.iter().position(|row| row.name.eq_ignore_ascii_case(name)).map(Mix)
    }

    /// Its name, such as `Q4_K_M`.
    pub fn name(self) -> &'static str {
        MIXES[self.0].name
    }

    pub(super) fn file_type(self) -> u32 {
        MIXES[self.0].file_type
    }

    /// What the matrix at that place becomes.
    pub(super) fn of(self, place: &Place<'_>) -> DType {
        let row = &MIXES[self.0];
        let eight = place.shape.experts == 8;
        match place.stem {
            "output" => output(place.cols),
            "token_embd" if place.shape.tied => output(place.cols),
            "attn_v" | "attn_k" if eight => DType::Q8_0,
            "attn_v" | "attn_qkv" => row.values.of(place),
            "attn_output" if eight => row.attention_of_eight,
            "attn_output" => row.attention,
            stem if stem.starts_with("ffn_down") => row.down.of(place),
            _ => row.base,
        }
    }
}

fn output(cols: usize) -> DType {
    if Q6_K.row_bytes(cols).is_some() { Q6_K } else { DType::Q8_0 }
}

impl Layers {
    fn of(&self, place: &Place<'_>) -> DType {
        let (i, n) = (place.layer, place.shape.layers);
        let (some, more, other) = match *self {
            All(dtype) => return dtype,
            First(count, more, other) => (i < count, more, other),
            Part(parts, more, other) => (i < n / parts, more, other),
            Ends(more, other) => (i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2, more, other),
        };
        if some { more } else { other }
    }
}
