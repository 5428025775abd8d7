//! Bytes written in base64, as the files of tokenizers have them.

use std::sync::LazyLock;

static BASE64: LazyLock<[Option<u8>; 256]> = LazyLock::new(|| {
    let mut values = [None; 256];
    let digits = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain([b'+', b'/']);
    digits.enumerate().for_each(|(value, digit)| values[digit as usize] = Some(value as u8));
    values
});

/// The bytes that `text` stands for; `None` if it is not base64.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(|b| BASE64[b as usize]).collect::<Option<_>>()?;
    let bytes = digits.chunks(4).flat_map(|group| {
        let bits = group.iter().fold(0u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - group.len()));
        bits.to_be_bytes().into_iter().skip(1).take(group.len() - 1).collect::<Vec<u8>>()
    });
    Some(bytes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_everyone_writes_it() {
        let check = |text: &str, bytes: Option<&[u8]>| assert_eq!(base64(text).as_deref(), bytes, "{text}");
        check("", Some(b""));
        check("YQ==", Some(b"a"));
        check("YWI=", Some(b"ab"));
        check("YWJj", Some(b"abc"));
        check("AP+/", Some(b"\x00\xFF\xBF"));
        check("Y?==", None);
    }
}
