//! How a model turns texts into vectors and judges them, by what its files say.

use answer::{Embedder, Pooling, Reading, Scoring};
use graph::Limits;
use model::{Format, PoolingType};

use crate::load::OUTPUTS;
use crate::{Error, Prepared};

impl Prepared {
    /// What turns texts into vectors, and what judges them; `make` makes either of the whole graph, or of what is before its head.
    pub(crate) fn readers(
        &self,
        make: impl Fn(bool, Limits, Pooling) -> Embedder,
    ) -> Result<(Embedder, Embedder), Error> {
        let many = self.encoder_limits();
        let few = Limits { max_outputs: OUTPUTS.min(many.max_tokens), ..many };
        let encoder = self.model.spec().encoder.is_some();
        let pooling = match self.checkpoint.pooling()? {
            Some(PoolingType::Mean) => Pooling::Mean,
            Some(PoolingType::First) => Pooling::First,
            None if encoder => Pooling::Mean,
            // A model that only looks back has seen all of a text in its last row.
            Some(PoolingType::Last) | None => Pooling::Last,
        };
        let judged = if encoder { Pooling::First } else { Pooling::Last };
        Ok((make(false, many, pooling), make(true, few, judged)))
    }

    /// How it takes texts that become vectors or scores.
    pub(crate) fn reading(&self) -> Result<Reading, Error> {
        let (encoder, head) = (self.model.spec().encoder, self.model.spec().output.head);
        let vectors = self.checkpoint.pooling()?.is_some();
        Ok(Reading {
            only: !self.model.spec().continues(),
            most: self.checkpoint.longest_text()?,
            cuts: encoder.is_some() || vectors,
            words: self.checkpoint.score_tokens()?,
            types: encoder.and_then(|encoder| encoder.types).is_some_and(|types| types > 1),
            scoring: match (encoder, head) {
                (Some(_), Some(head)) => Scoring::Head(head.labels),
                (None, Some(head)) => self.asked_head(head.labels)?,
                (None, None) if !vectors => Scoring::Asked,
                (_, None) => Scoring::Alike,
            },
        })
    }

    /// How a head of so many numbers answers a question: by one of them, or by those of yes and of no. The files of llama.cpp that do not
    /// name them have yes first.
    fn asked_head(&self, count: usize) -> Result<Scoring, Error> {
        let labels = self.checkpoint.labels()?;
        let place = |word: &str| labels.iter().take(count).position(|label| label.eq_ignore_ascii_case(word));
        let unnamed = labels.is_empty() && self.checkpoint.format() == Format::Gguf;
        Ok(match (count, place("yes"), place("no")) {
            (1, ..) => Scoring::AskedHead { yes: 0, no: None },
            (_, Some(yes), Some(no)) => Scoring::AskedHead { yes, no: Some(no) },
            (2, ..) if unnamed => Scoring::AskedHead { yes: 0, no: Some(1) },
            _ => Scoring::Head(count),
        })
    }

    /// Every row may be wanted, and a text as long as the context fits, with others beside it.
    fn encoder_limits(&self) -> Limits {
        let Limits { max_tokens, kv_blocks, block_len, .. } = self.limits;
        let enough = (self.context + max_tokens).div_ceil(block_len) + max_tokens / block_len;
        Limits { max_outputs: max_tokens, kv_blocks: enough.min(kv_blocks), ..self.limits }
    }
}
