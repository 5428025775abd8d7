//! Blocking: `cargo run --release --example generate -- "prompt" [MODEL]`.

use whinchat::{GenerateOptions, Model};

fn main() -> Result<(), whinchat::Error> {
    let mut args = std::env::args().skip(1);
    let text = args.next().unwrap_or_else(|| "Tell me a story.".into());
    let model = match args.next() {
        Some(source) => Model::load(&source)?,
        None => Model::builtin()?,
    };
    println!("{}", model.answer(&text, &GenerateOptions::max_tokens(64))?);
    Ok(())
}
