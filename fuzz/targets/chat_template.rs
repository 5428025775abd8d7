//! libFuzzer's entry to [`whinchat_fuzz::chat_template`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    whinchat_fuzz::chat_template(data);
});
