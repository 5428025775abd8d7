//! Tokenizers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use text::{EncodeOptions, TokenizerConfig};

use crate::errors;

/// Text to tokens and back, on several threads. What it computes, it computes without the interpreter.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Tokenizer(Arc<text::Tokenizer>);

impl Tokenizer {
    pub(crate) fn new(tokenizer: Arc<text::Tokenizer>) -> Tokenizer {
        Tokenizer(tokenizer)
    }

    fn check(&self, ids: &[u32]) -> PyResult<()> {
        let vocab = self.0.vocab();
        let Some(id) = ids.iter().find(|id| **id as usize >= vocab) else { return Ok(()) };
        let most = vocab.saturating_sub(1);
        Err(errors::invalid("ids", &format!("token {id} is not in the vocabulary (0 to {most})")))
    }
}

#[pymethods]
impl Tokenizer {
    /// The tokenizer of a model, or of a tokenizer.json, tokenizer.model or .tiktoken file.
    #[new]
    #[pyo3(signature = (source = None, num_threads = None))]
    fn open(py: Python<'_>, source: Option<PathBuf>, num_threads: Option<usize>) -> PyResult<Tokenizer> {
        if num_threads == Some(0) {
            return Err(errors::invalid("num_threads", "num_threads is 0, but at least one thread encodes"));
        }
        let open = || {
            let source = source.as_deref().unwrap_or(Path::new(whinchat::BUILTIN));
            match whinchat::tokenizer_of_file(source) {
                Some(tokenizer) => tokenizer,
                None => whinchat::tokenizer(&*whinchat::open(source, &|_, _, _| {})?),
            }
        };
        let tokenizer = py.detach(open).map_err(|error| errors::of_load(&error))?;
        let own = TokenizerConfig::default();
        let threads = num_threads.unwrap_or(own.threads);
        Ok(Tokenizer(Arc::new(tokenizer.with_config(TokenizerConfig { threads, pool: threads, ..own }))))
    }

    /// Token ids of a text. Control tokens that are written out in it are recognised with `parse_special`.
    #[pyo3(signature = (text, add_special = true, parse_special = false))]
    fn encode(&self, py: Python<'_>, text: &str, add_special: bool, parse_special: bool) -> Vec<u32> {
        py.detach(|| self.0.encode(text, EncodeOptions { add_special, parse_special }))
    }

    /// Token ids of each text, on all threads.
    #[pyo3(signature = (texts, add_special = true, parse_special = false))]
    fn encode_batch(
        &self,
        py: Python<'_>,
        texts: Vec<String>,
        add_special: bool,
        parse_special: bool,
    ) -> Vec<Vec<u32>> {
        py.detach(|| self.0.encode_batch(&texts, EncodeOptions { add_special, parse_special }))
    }

    /// The text of token ids. Control tokens have none, unless `special`.
    #[pyo3(signature = (ids, special = false))]
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, special: bool) -> PyResult<String> {
        self.check(&ids)?;
        Ok(py.detach(|| self.0.decode(&ids, special)))
    }

    /// How many tokens a text has.
    #[pyo3(signature = (text, add_special = true))]
    fn count(&self, py: Python<'_>, text: &str, add_special: bool) -> usize {
        py.detach(|| self.0.count(text, EncodeOptions { add_special, parse_special: false }))
    }

    /// Where each token of a text stands in it, in bytes of UTF-8; None if the tokens do not say what the text says.
    fn offsets(&self, text: &str, ids: Vec<u32>) -> PyResult<Option<Vec<(usize, usize)>>> {
        self.check(&ids)?;
        let offsets = self.0.offsets(text, &ids);
        Ok(offsets.map(|all| all.into_iter().map(|range| (range.start, range.end)).collect()))
    }

    /// A token as the vocabulary writes it; None past the end.
    fn piece(&self, id: u32) -> Option<&str> {
        self.0.piece(id)
    }

    /// The id of a token as the vocabulary writes it.
    fn id(&self, piece: &str) -> Option<u32> {
        self.0.id(piece)
    }

    #[getter]
    fn vocab_size(&self) -> usize {
        self.0.vocab()
    }

    #[getter]
    fn bos(&self) -> Option<u32> {
        self.0.bos()
    }

    #[getter]
    fn eos(&self) -> Option<u32> {
        self.0.eos()
    }

    /// Threads that encode batches and long texts.
    #[getter]
    fn num_threads(&self) -> usize {
        self.0.config().threads
    }

    /// What it has done since it was made or `reset_statistics`.
    fn get_statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statistics = self.0.statistics();
        let dict = PyDict::new(py);
        let counts = [
            ("encodes", statistics.encodes),
            ("bytes", statistics.bytes),
            ("tokens", statistics.tokens),
            ("cache_hits", statistics.cache_hits),
            ("cache_misses", statistics.cache_misses),
        ];
        counts.iter().try_for_each(|(name, count)| dict.set_item(name, count))?;
        dict.set_item("seconds", statistics.time.as_secs_f64())?;
        dict.set_item("tokens_per_second", statistics.tokens_per_second())?;
        Ok(dict)
    }

    /// Counts anew.
    fn reset_statistics(&self) {
        self.0.reset_statistics();
    }

    fn __repr__(&self) -> String {
        format!("Tokenizer(vocab_size={}, num_threads={})", self.0.vocab(), self.0.config().threads)
    }
}
