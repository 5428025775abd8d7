//! libFuzzer's entry to [`whinchat_fuzz::grammar`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    whinchat_fuzz::grammar(data);
});
