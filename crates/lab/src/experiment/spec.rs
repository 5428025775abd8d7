//! What a variant is, in a word: `Q4_K_M`, `plain:Q4_0`, `INT8`, `mixed:4.5`, `size:90MB`, `loss:0.02`, `speed:2`, `sparse:0.5`, `2:4`,
//! `file:small.gguf`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::WeightType;
use tensor::DType;

use crate::mixture::{Budget, Choice, Sensitivity, assign};
use crate::{Error, Materials, Pattern, PruneMethod, PruneOptions, Quantize, shares};

/// Types that mixtures are made of, and floats for what must lose nothing.
pub const CANDIDATES: &[DType] = &[
    DType::F16,
    DType::Q8_0,
    DType::Q6_K,
    DType::Q5_K,
    DType::Q5_1,
    DType::Q5_0,
    DType::Q4_K,
    DType::Q4_1,
    DType::Q4_0,
    DType::IQ4_XS,
    DType::IQ4_NL,
    DType::Q3_K,
    DType::Q2_K,
];

/// A variant.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// A type, or one of llama.cpp's mixes.
    Type {
        /// The type.
        weights: WeightType,
        /// Whether what calibration found out is used.
        informed: bool,
    },
    /// Types chosen for each matrix.
    Mixed(Target),
    /// Weights that are zero.
    Pruned(Pruned),
    /// A file that is there already, whatever made it.
    File(PathBuf),
}

/// Weights of the layers' matrices that are zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pruned {
    /// Which may be zero together, and how many.
    pub pattern: Pattern,
    /// Whether each matrix has a share of its own.
    pub by_layer: bool,
    /// Steps of recovery.
    pub steps: usize,
    /// What the matrices become.
    pub weights: WeightType,
}

/// Steps of recovery where nobody says how many.
const RECOVERY: usize = 20;

/// What a mixture must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Bytes of the file at most.
    Size(u64),
    /// Bits that a weight takes on average, at most.
    BitsPerWeight(f64),
    /// Predicted mean divergence at most, in nats.
    Loss(f64),
    /// Times as fast as the model decodes, at least, by what each type's speed was measured to be.
    Speed(f64),
}

/// Names that people use for types.
const ALIASES: [(&str, DType); 4] =
    [("INT8", DType::Q8_0), ("INT4", DType::Q4_K), ("FP16", DType::F16), ("FP32", DType::F32)];

impl Spec {
    /// Reads a variant.
    ///
    /// # Errors
    /// If it is none; the text says which there are.
    pub fn parse(text: &str) -> Result<Spec, String> {
        let positive = |number: &str| number.parse::<f64>().ok().filter(|x| x.is_finite() && *x > 0.0);
        let problem = |wanted: &str| format!("{text}: {wanted}");
        match text.split_once(':') {
            None => Ok(Spec::Type { weights: weights(text)?, informed: true }),
            Some(("plain", name)) => Ok(Spec::Type { weights: weights(name)?, informed: false }),
            Some(("mixed", bits)) => {
                let bits = positive(bits).ok_or_else(|| problem("want bits per weight, such as mixed:4.5"))?;
                Ok(Spec::Mixed(Target::BitsPerWeight(bits)))
            }
            Some(("loss", loss)) => {
                let loss = positive(loss).ok_or_else(|| problem("want a mean divergence, such as loss:0.02"))?;
                Ok(Spec::Mixed(Target::Loss(loss)))
            }
            Some(("speed", times)) => {
                let times =
                    positive(times).ok_or_else(|| problem("want a multiple of the model's speed, such as speed:2"))?;
                Ok(Spec::Mixed(Target::Speed(times)))
            }
            Some(("size", size)) => {
                let size = bytes(size).ok_or_else(|| problem("want a size, such as size:90MB"))?;
                Ok(Spec::Mixed(Target::Size(size)))
            }
            Some(("file", path)) if !path.is_empty() => Ok(Spec::File(path.into())),
            Some((first, rest)) => match Pruned::parse(first, rest) {
                Some(pruned) => pruned.map(Spec::Pruned),
                None => Err(problem(
                    "is no variant; want a type, plain:TYPE, mixed:BITS, size:SIZE, loss:DIVERGENCE, speed:TIMES, sparse:SHARE, \
                     layers:SHARE, 2:4 or file:PATH",
                )),
            },
        }
    }

    /// The word for it, which [`Spec::parse`] reads.
    pub fn name(&self) -> String {
        match self {
            Spec::Type { weights, informed: true } => weights.name().to_owned(),
            Spec::Type { weights, informed: false } => format!("plain:{}", weights.name()),
            Spec::Mixed(Target::BitsPerWeight(bits)) => format!("mixed:{bits}"),
            Spec::Mixed(Target::Loss(loss)) => format!("loss:{loss}"),
            Spec::Mixed(Target::Speed(times)) => format!("speed:{times}"),
            Spec::Mixed(Target::Size(bytes)) => format!("size:{bytes}"),
            Spec::Pruned(pruned) => pruned.name(),
            Spec::File(path) => format!("file:{}", path.display()),
        }
    }

    /// Whether it is made by what calibration found out.
    pub fn is_informed(&self) -> bool {
        !matches!(self, Spec::Type { informed: false, .. } | Spec::File(_))
    }

    /// How its weights are pruned, if they are.
    pub(super) fn prune(&self, materials: &Materials<'_>) -> Option<PruneOptions> {
        let Spec::Pruned(Pruned { pattern, by_layer, steps, .. }) = self else { return None };
        let shares = match *pattern {
            Pattern::Free(share) if *by_layer => shares(materials.share_losses, share),
            _ => BTreeMap::new(),
        };
        Some(PruneOptions { method: PruneMethod::SparseGpt, pattern: *pattern, shares, steps: *steps })
    }
}

impl Pruned {
    /// Reads `sparse:SHARE`, `layers:SHARE` and `2:4`, with a type behind a further colon or without; `None` if it begins otherwise.
    fn parse(first: &str, rest: &str) -> Option<Result<Pruned, String>> {
        let (number, name) = rest.split_once(':').map_or((rest, None), |(number, name)| (number, Some(name)));
        let (by_layer, pattern) = match first {
            "sparse" | "layers" => {
                let share = number.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 0.9);
                let wanted = || format!("{first}:{rest}: want a share of zeros up to 0.9, such as {first}:0.5");
                (first == "layers", share.map(Pattern::Free).ok_or_else(wanted))
            }
            _ if first.parse::<usize>().is_ok() => (false, Pattern::parse(&format!("{first}:{number}"), 0.5)),
            _ => return None,
        };
        let of = |pattern| {
            let weights = name.map_or(Ok(own_type(pattern)), weights)?;
            Ok(Pruned { pattern, by_layer, steps: RECOVERY, weights })
        };
        Some(pattern.and_then(of))
    }

    fn name(&self) -> String {
        let sparse = match self.pattern {
            Pattern::Free(share) if self.by_layer => format!("layers:{share}"),
            Pattern::Free(share) => format!("sparse:{share}"),
            Pattern::Groups { zeros, of } => format!("{zeros}:{of}"),
            Pattern::Blocks { len, share } => format!("block{len}:{share}"),
        };
        match self.weights {
            weights if weights == own_type(self.pattern) => sparse,
            weights => format!("{sparse}:{}", weights.name()),
        }
    }
}

/// The type of matrices with such zeros where none is named.
fn own_type(pattern: Pattern) -> WeightType {
    WeightType::One(if pattern == (Pattern::Groups { zeros: 2, of: 4 }) { DType::Q4_2OF4 } else { DType::F16 })
}

fn weights(name: &str) -> Result<WeightType, String> {
    let alias = ALIASES.iter().find(|alias| alias.0.eq_ignore_ascii_case(name)).map(|alias| WeightType::One(alias.1));
    let unknown = || {
        let known = ALIASES.iter().map(|alias| alias.0).chain(WeightType::names());
        format!("{name}: unknown; known are {}", known.collect::<Vec<_>>().join(", "))
    };
    alias.or_else(|| WeightType::parse(name)).ok_or_else(unknown)
}

/// A number of bytes, with a unit or without: `90MB`, `1.5 GB`, `700MiB`.
fn bytes(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text[..at].parse::<f64>().ok()?, text[at..].trim().to_ascii_uppercase());
    let unit = match unit.as_str() {
        "" | "B" => 1.0,
        "K" | "KB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" => 1e9,
        "KIB" => 1024.0,
        "MIB" => 1024f64.powi(2),
        "GIB" => 1024f64.powi(3),
        _ => return None,
    };
    Some((number * unit) as u64).filter(|bytes| *bytes > 0)
}

impl Target {
    /// The types of all matrices.
    ///
    /// # Errors
    /// If even the smallest types are too large, or the largest lose too much.
    pub fn types(
        self,
        quantize: &Quantize<'_>,
        sensitivities: &[Sensitivity],
    ) -> Result<BTreeMap<String, DType>, Error> {
        let found = assign(sensitivities, self.budget(quantize));
        Ok(found.ok_or_else(|| self.out_of_reach(quantize, sensitivities))?.types)
    }

    fn out_of_reach(self, quantize: &Quantize<'_>, sensitivities: &[Sensitivity]) -> Error {
        let least = |price: fn(&Choice) -> f64| {
            let of = |matrix: &Sensitivity| matrix.choices.iter().map(price).fold(f64::INFINITY, f64::min);
            sensitivities.iter().map(of).sum::<f64>()
        };
        let best = match self {
            Target::Speed(_) => format!("the fastest mixture decodes {:.2} times as fast", 1.0 / least(|c| c.time)),
            _ => {
                let bytes = quantize.fixed_bytes() as f64 + least(|choice| choice.bytes as f64);
                format!("the smallest mixture takes {:.1} MB", bytes / 1e6)
            }
        };
        Error::Request(format!("{} cannot be reached: {best}", Spec::Mixed(self).name()))
    }
}

impl Target {
    /// The budget of all matrices that follows from the target of the whole file.
    fn budget(self, quantize: &Quantize<'_>) -> Budget {
        let tensors = quantize.tensors();
        let others: u64 = tensors.iter().filter(|tensor| !tensor.is_matrix).map(|tensor| tensor.bytes() as u64).sum();
        let weights: usize = tensors.iter().map(|tensor| tensor.dims.iter().product::<usize>()).sum();
        match self {
            Target::Size(bytes) => Budget::Bytes(bytes.saturating_sub(quantize.fixed_bytes())),
            Target::BitsPerWeight(bits) => Budget::Bytes(((bits * weights as f64 / 8.0) as u64).saturating_sub(others)),
            Target::Loss(loss) => Budget::Loss(loss),
            Target::Speed(times) => Budget::Time(1.0 / times),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, name: Option<&str>) {
        let spec = Spec::parse(text);
        assert_eq!(spec.as_ref().ok().map(Spec::name).as_deref(), name, "{spec:?}");
        if let Some(name) = name {
            assert_eq!(Spec::parse(name), spec);
        }
    }

    #[test]
    fn variants_are_words() {
        check("q4_k_m", Some("Q4_K_M"));
        check("INT8", Some("Q8_0"));
        check("int4", Some("Q4_K"));
        check("plain:Q5_0", Some("plain:Q5_0"));
        check("mixed:4.5", Some("mixed:4.5"));
        check("size:90MB", Some("size:90000000"));
        check("size:1.5 KiB", Some("size:1536"));
        check("loss:0.02", Some("loss:0.02"));
        check("sparse:0.5", Some("sparse:0.5"));
        check("layers:0.30", Some("layers:0.3"));
        check("sparse:0.5:q8_0", Some("sparse:0.5:Q8_0"));
        check("2:4", Some("2:4"));
        check("4:8:INT8", Some("4:8:Q8_0"));
        check("speed:2.5", Some("speed:2.5"));
        check("file:a/b.gguf", Some("file:a/b.gguf"));
        check("2:4:F16", Some("2:4:F16"));
        check("2:4:q4_2of4", Some("2:4"));
        for wrong in ["Q9", "mixed:", "mixed:-1", "mixed:NaN", "size:0", "size:3 stone", "loss:inf", "best:4", ""] {
            check(wrong, None);
        }
        for wrong in ["speed:fast", "file:"] {
            check(wrong, None);
        }
        for wrong in ["sparse:0", "sparse:NaN", "layers:0.95", "sparse:0.5:Q9", "4:2", "2:", "2:four", "sparse"] {
            check(wrong, None);
        }
    }
}
