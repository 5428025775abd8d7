//! Async: `cargo run --release --example stream -- "message" [MODEL]`. Two answers at once, each as a stream.

use std::io::Write;

use whinchat::{Event, GenerateOptions, Generation, Model};

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
    while let Some(event) = shown.next_event().await {
        match event? {
            Event::Text { text, .. } => print!("{text}"),
            Event::Finished { usage, .. } => println!("\n({} tokens)", usage.generated),
            Event::Prompt { .. } | Event::Reasoning { .. } | Event::ToolCall { .. } => {}
        }
        let _ = std::io::stdout().flush();
    }
    println!("and beside it: {}", beside.whole().await?.remove(0).text);
    Ok(())
}

/// Asks by the model's chat template; a model without one continues the text.
fn stream(model: &Model, message: &str) -> Result<Generation, whinchat::Error> {
    model.begin(&GenerateOptions::max_tokens(64).ask(model.input(message)))
}
