//! `whinchat logits`: the logits of a sequence of tokens as a NumPy file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::LoadArgs;
use super::scorer::Scorer;

/// Write the logits of a sequence of tokens to a NumPy file
///
/// The rows are f32, one for each token: what the model expects after it.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat logits --model model.gguf --tokens 1,15043,3186 --out logits.npy")]
#[command(mut_arg("context", |arg| arg.help("Longest sequence the model is prepared for [default: the tokens]")))]
pub(crate) struct Logits {
    #[command(flatten)]
    load: LoadArgs,
    /// The token ids, separated by commas.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', required = true, value_parser = token)]
    tokens: Vec<u32>,
    /// The .npy file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Logits {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut scorer = Scorer::load(&self.load, self.tokens.len())?;
        let vocab = scorer.prepared.model.graph().output_width();
        if let Some(bad) = self.tokens.iter().find(|id| **id as usize >= vocab) {
            anyhow::bail!("--tokens: {bad} is not in the vocabulary (0 to {})", vocab - 1);
        }
        let file = File::create(&self.out).with_context(|| format!("cannot write {}", self.out.display()))?;
        let mut out = BufWriter::new(file);
        out.write_all(&npy_header(self.tokens.len(), vocab))?;
        let written = scorer.score(&self.tokens, 0, |_, row| {
            row.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))?;
            Ok(())
        });
        written.and_then(|()| Ok(out.flush()?)).with_context(|| format!("writing {}", self.out.display()))
    }
}

fn token(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.trim().parse()
}

/// The header of a little-endian f32 matrix (NumPy's format 1.0): padded so that the data starts at a multiple of 64.
fn npy_header(rows: usize, cols: usize) -> Vec<u8> {
    let mut dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}");
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    dict.push_str(&" ".repeat(length - dict.len() - 1));
    dict.push('\n');
    [b"\x93NUMPY\x01\x00", &(length as u16).to_le_bytes()[..], dict.as_bytes()].concat()
}
