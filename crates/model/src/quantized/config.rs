//! What config.json says about how its weights were quantized.

use tensor::DType;

use crate::{Metadata, ModelError};

/// How the tensors of a module are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// GPTQ; whether zeros are stored less one.
    Gptq { bits: usize, shifted: bool },
    /// AWQ in the order of its `gemm` kernels.
    Awq,
    /// The tensors' names and types say it: compressed-tensors, FP8, ModelOpt.
    Tensors,
    /// bitsandbytes.
    BitsAndBytes,
}

/// See [`Method`].
pub(super) struct Config {
    pub(super) method: Method,
    /// The type that the model was trained in.
    plain: DType,
    /// Whether integers of 8 bits are meant for activations of 8 bits with a scale for each token, found when it comes.
    pub(super) by_token: bool,
}

/// `quant_method`s of which weights are read; a method with a layout that is not read is refused when the files are opened.
const METHODS: [&str; 8] =
    ["gptq", "awq", "fp8", "fbgemm_fp8", "compressed-tensors", "compressed_tensors", "modelopt", "bitsandbytes"];

/// Formats of compressed-tensors that are read.
const FORMATS: [&str; 8] = [
    "dense",
    "int-quantized",
    "float-quantized",
    "naive-quantized",
    "pack-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
    "mixed-precision",
];

impl Method {
    /// Endings of the tensors that stand for a module.
    pub(super) fn marks(self) -> &'static [&'static str] {
        match self {
            Method::Gptq { .. } | Method::Awq => &[".qweight"],
            Method::Tensors => &[".weight", ".weight_packed"],
            Method::BitsAndBytes => &[".weight"],
        }
    }
}

impl Config {
    /// `None` if the weights are not quantized, or in a way that is refused when the model is built.
    pub(super) fn read(metadata: &Metadata) -> Result<Option<Config>, ModelError> {
        let Some(quantized) = section(metadata)? else { return Ok(None) };
        let method = match name(quantized)? {
            "gptq" => gptq(quantized)?,
            "awq" => awq(quantized)?,
            "compressed-tensors" | "compressed_tensors" => compressed(quantized)?,
            "fp8" | "fbgemm_fp8" | "modelopt" => Method::Tensors,
            "bitsandbytes" => Method::BitsAndBytes,
            _ => return Ok(None),
        };
        Ok(Some(Config { method, plain: plain(metadata)?, by_token: by_token(quantized) }))
    }

    /// What a matrix is widened to whose scales have the type of that name.
    pub(super) fn wide(&self, scales: &str) -> DType {
        match scales {
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            _ => self.plain,
        }
    }
}

/// Refuses weights that were quantized by a method that is not read.
pub(crate) fn refuse(metadata: &Metadata, own_mxfp4: bool) -> Result<(), ModelError> {
    let Some(quantized) = section(metadata)? else { return Ok(()) };
    let method = name(quantized)?;
    if METHODS.contains(&method) || method == "mxfp4" && own_mxfp4 {
        return Ok(());
    }
    let problem = format!(
        "weights quantized by \"{method}\" are not supported, those by {} are; take these, the GGUF or the plain files",
        METHODS.join(", ")
    );
    Err(quantized.unsupported("quant_method", problem))
}

fn name(quantized: &Metadata) -> Result<&str, ModelError> {
    Ok(quantized.read::<&str>("quant_method")?.unwrap_or("unnamed"))
}

/// The object that tells of quantization: of the model, or of the text model in it.
fn section(metadata: &Metadata) -> Result<Option<&Metadata>, ModelError> {
    for key in ["quantization_config", "compression_config"] {
        if let Some(found) = metadata.read::<&Metadata>(key)? {
            return Ok(Some(found));
        }
    }
    match metadata.read::<&Metadata>("text_config")? {
        Some(text) => text.read::<&Metadata>("quantization_config"),
        None => Ok(None),
    }
}

/// BF16 where nothing is said: nearly all models of today were trained in it.
fn plain(metadata: &Metadata) -> Result<DType, ModelError> {
    let text = metadata.read::<&Metadata>("text_config")?;
    for key in ["dtype", "torch_dtype"] {
        for place in [Some(metadata), text].into_iter().flatten() {
            match place.read::<&str>(key)? {
                Some("float16") => return Ok(DType::F16),
                Some("float32") => return Ok(DType::F32),
                Some(_) => return Ok(DType::BF16),
                None => {}
            }
        }
    }
    Ok(DType::BF16)
}

fn gptq(quantized: &Metadata) -> Result<Method, ModelError> {
    let bits = quantized.read::<usize>("bits")?.unwrap_or(4);
    if ![2, 3, 4, 8].contains(&bits) {
        return Err(quantized.unsupported("bits", format!("is {bits}; 2, 3, 4 and 8 are read")));
    }
    let format = quantized.read::<&str>("checkpoint_format")?.or(quantized.read::<&str>("format")?).unwrap_or("gptq");
    let shifted = match format {
        "gptq" => true,
        "gptq_v2" => false,
        other => {
            let problem = format!(
                "GPTQ weights in the layout \"{other}\" are not read, gptq and gptq_v2 are; take a file of these"
            );
            return Err(quantized.unsupported("checkpoint_format", problem));
        }
    };
    Ok(Method::Gptq { bits, shifted })
}

fn awq(quantized: &Metadata) -> Result<Method, ModelError> {
    let bits = quantized.read::<usize>("bits")?.or(quantized.read::<usize>("w_bit")?).unwrap_or(4);
    if bits != 4 {
        return Err(quantized.unsupported("bits", format!("is {bits}; AWQ of 4 bits is read")));
    }
    let version = quantized.read::<&str>("version")?.or(quantized.read::<&str>("format")?).unwrap_or("gemm");
    let backend = quantized.read::<&str>("backend")?.unwrap_or("autoawq");
    if !version.eq_ignore_ascii_case("gemm") || backend == "llm-awq" {
        let problem = format!(
            "AWQ weights in the layout \"{version}\" of {backend} are not read, \"gemm\" is; take a file of it"
        );
        return Err(quantized.unsupported("version", problem));
    }
    Ok(Method::Awq)
}

/// Whether all groups of compressed-tensors whose weights are integers of 8 bits with a scale for each row round activations as Q8_ROW has
/// them: to 8 bits, by tokens, symmetrically. What is not said in these words is something else.
fn by_token(quantized: &Metadata) -> bool {
    fn object<'m>(of: &'m Metadata, key: &str) -> Option<&'m Metadata> {
        of.read::<&Metadata>(key).ok().flatten()
    }
    let Some(groups) = object(quantized, "config_groups") else { return false };
    let of_rows =
        |name| object(groups, name).filter(|group| object(group, "weights").is_some_and(|w| is_int8(w, "channel")));
    let rounds = |group| {
        let inputs = object(group, "input_activations");
        inputs
            .is_some_and(|inputs| is_int8(inputs, "token") && matches!(inputs.read::<bool>("dynamic"), Ok(Some(true))))
    };
    let all: Vec<bool> = groups.iter().filter_map(|(name, _)| of_rows(name)).map(rounds).collect();
    !all.is_empty() && !all.contains(&false)
}

/// Whether numbers are symmetric integers of 8 bits whose scales are those of a strategy.
fn is_int8(args: &Metadata, strategy: &str) -> bool {
    matches!(args.read::<usize>("num_bits"), Ok(Some(8)))
        && matches!(args.read::<&str>("type"), Ok(None | Some("int")))
        && matches!(args.read::<&str>("strategy"), Ok(Some(given)) if given == strategy)
        && matches!(args.read::<bool>("symmetric"), Ok(None | Some(true)))
}

fn compressed(quantized: &Metadata) -> Result<Method, ModelError> {
    if let Some(sparsity) = quantized.read::<&Metadata>("sparsity_config")? {
        let format = sparsity.read::<&str>("format")?.unwrap_or("dense");
        if format != "dense" {
            return Err(
                sparsity.unsupported("format", format!("\"{format}\" is not read; take a file whose zeros are stored"))
            );
        }
    }
    let format = quantized.read::<&str>("format")?.unwrap_or("dense");
    if !FORMATS.contains(&format) {
        let problem = format!("\"{format}\" is not read, these are: {}; take a file of one", FORMATS.join(", "));
        return Err(quantized.unsupported("format", problem));
    }
    if quantized.read::<&Metadata>("transform_config")?.is_some_and(|transforms| transforms.iter().next().is_some()) {
        let problem = "rotations of activations are not supported; take a file without transforms";
        return Err(quantized.unsupported("transform_config", problem));
    }
    Ok(Method::Tensors)
}
