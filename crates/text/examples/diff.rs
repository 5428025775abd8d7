//! Temporary: ids of files under a vocabulary and several pre-tokenizers.
#[path = "../tests/common/mod.rs"]
mod common;
use text::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let vocab = common::gguf_vocab(&std::fs::read(&args[1]).unwrap());
    let t0 = std::time::Instant::now();
    let t = match Tokenizer::from_gguf(vocab) {
        Ok(t) => t,
        Err(e) => {
            println!("ERR {e}");
            return;
        }
    };
    eprintln!("load {:?}", t0.elapsed());
    for f in &args[2..] {
        let text = String::from_utf8_lossy(&std::fs::read(f).unwrap()).into_owned();
        let t0 = std::time::Instant::now();
        let ids = t.encode(&text, EncodeOptions { add_special: true, parse_special: true });
        eprintln!(
            "{f} {} tokens {:?} {:.1} MB/s",
            ids.len(),
            t0.elapsed(),
            text.len() as f64 / 1e6 / t0.elapsed().as_secs_f64()
        );
        println!("{ids:?}");
    }
}
