//! libFuzzer's entry to [`whinchat_fuzz::configuration`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    whinchat_fuzz::configuration(data);
});
