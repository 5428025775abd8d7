//! GPT-2's byte-level alphabet: a printable character for every byte.

use std::sync::LazyLock;

static CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 256;
    std::array::from_fn(|byte| match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte as u8),
        _ => {
            next += 1;
            char::from_u32(next - 1).unwrap_or(' ')
        }
    })
});

static BYTES: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut bytes = [None; 0x144];
    CHARS.iter().enumerate().for_each(|(byte, c)| bytes[*c as usize] = Some(byte as u8));
    bytes
});

/// The character that stands for `byte`.
pub(crate) fn letter(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The text whose characters stand for the bytes of `text`.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().map(letter).collect()
}

/// The bytes that `text` stands for; `None` if a character is not of the alphabet.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| *BYTES.get(c as usize)?).collect()
}

/// As [`decode`], but a character that is not of the alphabet stays as it is.
pub(crate) fn decode_lossy(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match BYTES.get(c as usize).copied().flatten() {
            Some(byte) => out.push(byte),
            None => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_character() {
        let all: Vec<u8> = CHARS.iter().filter_map(|c| decode(&c.to_string())?.pop()).collect();
        assert_eq!(all, (0..=255).collect::<Vec<u8>>());
        assert_eq!(encode("a b\né"), "aĠbĊÃ©");
        assert_eq!(decode("aĠbĊÃ©").as_deref(), Some("a b\né".as_bytes()));
        assert_eq!(decode("日"), None);
        assert_eq!(decode_lossy("Ġ日"), " 日".as_bytes());
    }
}
