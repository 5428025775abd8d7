//! libFuzzer's entry to [`whinchat_fuzz::request_body`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    whinchat_fuzz::request_body(data);
});
