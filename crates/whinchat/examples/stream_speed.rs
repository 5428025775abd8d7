//! How fast a stream is: `cargo run --release --example stream_speed -- TOKENS [MODEL]` prints tokens a second, from the first text on.
//! The Python package is measured beside it.

use std::time::Instant;

use whinchat::{Ending, Event, GenerateOptions, Input, Model, Sampling};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let tokens: usize = args.next().ok_or("say how many tokens")?.parse()?;
    let model = match args.next() {
        Some(source) => Model::load(&source)?,
        None => Model::builtin()?,
    };
    let ending = Ending { max_tokens: Some(tokens), ignore_eos: true, ..Ending::default() };
    let options = GenerateOptions { sampling: Sampling::greedy(), ending };
    let mut speed = 0.0;
    // The first one warms caches.
    for _ in 0..2 {
        let mut began = None;
        for event in model.begin(&options.ask(Input::text("Once upon a time")))? {
            if let Event::Text { .. } = event? {
                began.get_or_insert_with(Instant::now);
            }
        }
        let took = began.ok_or("there was no text")?.elapsed();
        speed = (tokens - 1) as f64 / took.as_secs_f64();
    }
    println!("{speed}");
    Ok(())
}
