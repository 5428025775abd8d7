//! libFuzzer's entry to [`whinchat_fuzz::gguf`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    whinchat_fuzz::gguf(data);
});
