//! libFuzzer's entry to [`whinchat_fuzz::tokenizer_json`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    whinchat_fuzz::tokenizer_json(data);
});
