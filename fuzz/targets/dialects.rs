//! libFuzzer's entry to [`whinchat_fuzz::dialects`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    whinchat_fuzz::dialects(data);
});
