//! How tokens are chosen where neither a request nor the model says anything.

use answer::Sampling;
use model::{Format, GenerationConfig};

/// Whose defaults hold where neither a request nor the model says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplingDefaults {
    /// llama.cpp's: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05. Answers of small models are steadier with them.
    LlamaCpp,
    /// OpenAI's: the model's own distribution.
    OpenAi,
}

impl SamplingDefaults {
    /// What people expect of a file: llama.cpp's for GGUF, else the model's own distribution.
    pub fn of(format: Format) -> SamplingDefaults {
        if format == Format::Gguf { SamplingDefaults::LlamaCpp } else { SamplingDefaults::OpenAi }
    }

    /// The settings.
    pub fn sampling(self) -> Sampling {
        match self {
            SamplingDefaults::LlamaCpp => Sampling {
                temperature: Some(0.8),
                top_k: Some(40),
                top_p: Some(0.95),
                min_p: Some(0.05),
                ..Sampling::default()
            },
            SamplingDefaults::OpenAi => Sampling::default(),
        }
    }
}

/// The model's own suggestions.
pub(crate) fn suggested(own: &GenerationConfig) -> Sampling {
    Sampling {
        temperature: own.temperature,
        top_k: own.top_k,
        top_p: own.top_p,
        min_p: own.min_p,
        repetition_penalty: own.repetition_penalty,
        ..Sampling::default()
    }
}
