//! Async: `cargo run --release --example stream -- MODEL "prompt"`. Two answers at once, each as a stream.

use std::io::Write;

use whinchat::{GenerateOptions, Model, Piece};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), whinchat::Error> {
    let mut args = std::env::args().skip(1);
    let source = args.next().unwrap_or_else(|| "model.gguf".into());
    let prompt = args.next().unwrap_or_else(|| "Once upon a time".into());
    let model = Model::load(&source)?;
    let options = GenerateOptions { max_tokens: 64, ..GenerateOptions::default() };
    let mut shown = model.stream(&prompt, &options)?;
    let mut beside = model.stream("The end of the story:", &options)?;
    while let Some(piece) = shown.next().await {
        match piece? {
            Piece::Text(text) => print!("{text}"),
            Piece::Ended(ended) => println!("\n({} tokens)", ended.generated_tokens),
        }
        let _ = std::io::stdout().flush();
    }
    let mut other = String::new();
    while let Some(piece) = beside.next().await {
        if let Piece::Text(text) = piece? {
            other.push_str(&text);
        }
    }
    println!("and beside it: {other}");
    Ok(())
}
