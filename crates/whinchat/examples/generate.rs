//! Blocking: `cargo run --release --example generate -- MODEL "prompt"`.

use whinchat::{GenerateOptions, Model};

fn main() -> Result<(), whinchat::Error> {
    let mut args = std::env::args().skip(1);
    let source = args.next().unwrap_or_else(|| "model.gguf".into());
    let prompt = args.next().unwrap_or_else(|| "Once upon a time".into());
    let model = Model::load(&source)?;
    println!("{}", model.generate(&prompt, &GenerateOptions { max_tokens: 64, ..GenerateOptions::default() })?);
    Ok(())
}
