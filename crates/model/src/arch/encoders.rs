//! Encoders: models that read a text whole and continue none. Rows of the table, and what only they have.

use graph::Activation;

use crate::ModelError;
use crate::spec::{EncoderSpec, HeadActivation, HeadSpec, NormKind, Norms, PositionSpec};

use super::config::{Config, Key};
use super::defaults::GEMMA3_DEFAULTS;
use super::spec::CONTEXT;
use super::{ATTN, Arch, Attn, EXTRAS, Encoding, Extras, GEMMA3_ATTN, Input, LLAMA, LocalRope, Positions, Windows};

/// Norms of sums, biases, a feed-forward part without a gate (Devlin et al. 2018).
const BERT: Arch = Arch {
    name: "bert",
    model_types: &["bert"],
    gguf: &["bert"],
    defaults: &[("layer_norm_eps", 1e-12), ("max_position_embeddings", 512.0), ("type_vocab_size", 2.0)],
    norms: Norms::Sum,
    act: Activation::GeluErf,
    extras: Extras { norm: NormKind::Layer { bias: true }, gated: false, found_biases: true, input: LEARNED, ..EXTRAS },
    ..LLAMA
};

const LEARNED: Input = Input::Whole(Encoding { positions: Positions::Learned, norm: true });

/// Positions are turned, not added.
const TURNED: Input = Input::Whole(Encoding { positions: Positions::None, norm: true });

pub(super) static ARCHITECTURES: [Arch; 7] = [
    BERT,
    Arch {
        name: "xlm-roberta",
        model_types: &["xlm-roberta", "roberta", "camembert"],
        gguf: &[],
        extras: Extras {
            input: Input::Whole(Encoding { positions: Positions::AfterPadding, norm: true }),
            ..BERT.extras
        },
        ..BERT
    },
    Arch {
        name: "nomic-bert",
        model_types: &["nomic_bert"],
        gguf: &["nomic-bert"],
        defaults: &[
            ("layer_norm_eps", 1e-12),
            ("max_position_embeddings", 2048.0),
            ("type_vocab_size", 2.0),
            ("rope_theta", 1000.0),
        ],
        act: Activation::Silu,
        extras: Extras { gated: true, input: TURNED, ..BERT.extras },
        ..BERT
    },
    Arch {
        name: "nomic-bert-moe",
        model_types: &[],
        gguf: &["nomic-bert-moe"],
        defaults: &[(".expert_weights_norm", 0.0)],
        extras: Extras { input: TURNED, ..BERT.extras },
        ..BERT
    },
    Arch {
        name: "jina-bert-v3",
        model_types: &["jina_embeddings_v3"],
        gguf: &["jina-bert-v3"],
        defaults: &[
            ("layer_norm_eps", 1e-5),
            ("max_position_embeddings", 8194.0),
            ("type_vocab_size", 1.0),
            ("rope_theta", 20_000.0),
        ],
        extras: Extras { input: TURNED, ..BERT.extras },
        ..BERT
    },
    Arch {
        name: "modern-bert",
        model_types: &["modernbert"],
        gguf: &["modern-bert"],
        defaults: &[
            ("norm_eps", 1e-5),
            ("max_position_embeddings", 8192.0),
            ("sliding_window", 128.0),
            ("rope_theta", 160_000.0),
            ("rope_local_base_freq", 10_000.0),
        ],
        norms: Norms::Pre,
        attn: Attn { windows: Windows::ButFirst(3), local_rope: LocalRope::Unscaled, ..ATTN },
        extras: Extras { norm: NormKind::Layer { bias: false }, gated: true, input: TURNED, ..BERT.extras },
        ..BERT
    },
    Arch {
        name: "gemma-embedding",
        model_types: &["gemma3_text"],
        gguf: &["gemma-embedding"],
        defaults: GEMMA3_DEFAULTS,
        norms: Norms::Both,
        norm_shift: 1.0,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        attn: GEMMA3_ATTN,
        extras: Extras { input: Input::Whole(Encoding { positions: Positions::None, norm: false }), ..EXTRAS },
        ..LLAMA
    },
];

const TYPES: Key = Key("type_vocab_size", "");
const PADDING: Key = Key("pad_token_id", "");
/// Which row a head reads.
const HEAD_POOLING: Key = Key("classifier_pooling", "");
/// What a head applies between its projections.
const HEAD_ACT: Key = Key("classifier_activation", "");

/// The longest sequence: of tables that begin after the token for padding, what is left.
pub(super) fn context(config: &Config<'_>) -> Result<usize, ModelError> {
    let most = config.require(CONTEXT)?;
    match most.saturating_sub(first(config)?) {
        0 => Err(config.invalid(CONTEXT, format!("{most} positions leave none for a text"))),
        most => Ok(most),
    }
}

/// Whether it turns queries and keys by their positions.
pub(super) fn rotated(config: &Config<'_>) -> bool {
    config.arch.extras.encoder().is_none_or(|encoding| encoding.positions == Positions::None)
}

/// The row of the first position.
fn first(config: &Config<'_>) -> Result<usize, ModelError> {
    let after = config.arch.extras.encoder().is_some_and(|encoding| encoding.positions == Positions::AfterPadding);
    if !after || config.gguf() {
        return Ok(0);
    }
    Ok(config.read::<usize>(PADDING)?.unwrap_or(1).saturating_add(1).min(1 << 20))
}

/// What the model has as an encoder of texts of up to `count` tokens; `None` if it is none.
pub(super) fn read(config: &Config<'_>, count: usize) -> Result<Option<EncoderSpec>, ModelError> {
    let Some(Encoding { positions, norm }) = config.arch.extras.encoder() else { return Ok(None) };
    let first = first(config)?;
    let types = if config.gguf() { rows(config, "token_types") } else { config.size(TYPES)? };
    Ok(Some(EncoderSpec {
        positions: (positions != Positions::None).then_some(PositionSpec { count, first }),
        types,
        embed_norm: norm,
        first_norm: config.names.has(0, "attn_norm.weight"),
        dense: rows(config, "dense_2").and_then(|inner| Some([inner, rows(config, "dense_3")?])),
    }))
}

/// Rows of a matrix outside of layers, by GGUF's name; `None` if the file has none.
fn rows(config: &Config<'_>, name: &str) -> Option<usize> {
    config.names.dims(&config.names.global(name))?.first().copied()
}

/// What judges a text: in safetensors files, if the model was made for that. Models that look back only have one matrix for it.
pub(super) fn head(config: &Config<'_>) -> Result<Option<HeadSpec>, ModelError> {
    let names = &config.names;
    if !config.gguf() {
        let made_for: Vec<String> = config.checkpoint.metadata().read("architectures")?.unwrap_or_default();
        if !made_for.iter().any(|m| m.ends_with("ForSequenceClassification")) {
            return Ok(None);
        }
    }
    let Some(labels) = rows(config, "cls.output") else {
        if config.gguf() {
            return Ok(None);
        }
        let name =
            if config.arch.extras.encoder().is_some() { names.global("cls.output") } else { "score.weight".into() };
        return Err(config.checkpoint.invalid(&name, "the tensor is missing"));
    };
    if let Some(other) = config.read::<&str>(HEAD_POOLING)?.filter(|&pooling| pooling != "cls") {
        return Err(config.unsupported(HEAD_POOLING, format!("\"{other}\" is not supported; cls is")));
    }
    let act = match config.read::<&str>(HEAD_ACT)? {
        None if config.arch.norms == Norms::Sum => HeadActivation::Tanh,
        None | Some("gelu") => HeadActivation::As(Activation::GeluErf),
        Some("silu") => HeadActivation::As(Activation::Silu),
        Some("relu") => HeadActivation::As(Activation::Relu),
        Some(other) => return Err(config.unsupported(HEAD_ACT, format!("\"{other}\" is not supported"))),
    };
    Ok(Some(HeadSpec { labels, dense: rows(config, "cls").map(|_| act), norm: rows(config, "cls.norm").is_some() }))
}
