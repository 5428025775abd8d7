//! Model files into graphs: GGUF and safetensors readers, the numbers of a model, one table of architectures, and the
//! binding of a file's tensors to a graph's weights; and a model back into a GGUF file.
//!
//! Architecture invariant: this crate does not know which backend runs a model, nor sequences, nor HTTP. It holds the
//! only memory map.

mod arch;
mod bind;
mod checkpoint;
mod convert;
mod eagle3;
mod error;
mod export;
mod gguf;
mod identity;
mod lora;
mod metadata;
mod mmap;
mod quantized;
mod safetensors;
mod spec;
mod texts;

pub use arch::{Family, families, refused};
pub use bind::Model;
pub use checkpoint::{Checkpoint, Format, GenerationConfig, PoolingType, TensorInfo, TokenizerFiles};
pub use convert::FromValue;
pub use eagle3::Eagle3;
pub use error::ModelError;
pub use export::{EncodeRows, Export, Going, Mix, Planned, Recipe, WeightType, file_type_name};
pub use gguf::{GgufTensor, GgufValue, write_gguf};
pub use identity::FileIdentity;
pub use lora::{Adapter, LowRank};
pub use metadata::{List, Metadata, Value};
pub use quantized::{Fidelity, Repacked};
pub use spec::{
    AltUpSpec, EncoderSpec, HeadActivation, HeadSpec, LayerEmbedSpec, Norms, PositionSpec, QkNorm, RecurrentSpec,
    Scales, ScanNorm, ScanScales, ScanSpec, SharedSpec,
};
pub use spec::{
    AttentionSpec, Biases, ConvSpec, DeltaSpec, ExpertSpec, FfnSpec, Gate, KeySource, LatentSpec, LayerSpec, ModelSpec,
};
pub use texts::Texts;
