//! Async: `cargo run --release --example stream -- "message" [MODEL]`. Two answers at once, each as a stream.

use std::io::Write;

use whinchat::{GenerateOptions, Model, Piece};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), whinchat::Error> {
    let mut args = std::env::args().skip(1);
    let message = args.next().unwrap_or_else(|| "Tell me a story.".into());
    let model = match args.next() {
        Some(source) => Model::load(&source)?,
        None => Model::builtin()?,
    };
    let mut shown = stream(&model, &message)?;
    let mut beside = stream(&model, "Who are you?")?;
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

/// Asks by the model's chat template; a model without one continues the text.
fn stream(model: &Model, message: &str) -> Result<whinchat::TextStream, whinchat::Error> {
    let options = GenerateOptions { max_tokens: 64, templated: model.chats(), ..GenerateOptions::default() };
    match model.chats() {
        true => {
            model.stream(&model.render_chat(&serde_json::json!([{ "role": "user", "content": message }]))?, &options)
        }
        false => model.stream(message, &options),
    }
}
