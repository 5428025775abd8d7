//! SentencePiece's precompiled character map: a double-array trie of beginnings and what each becomes.

/// A parsed map. Any bytes will do as a map: a broken one maps less, never more than it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    texts: Vec<u8>,
}

impl Charsmap {
    /// Parses the binary form: length of the trie in bytes, the trie, then texts that end with a zero byte.
    pub(crate) fn new(bytes: &[u8]) -> Result<Charsmap, &'static str> {
        let wrong = "the character map is cut off; convert the model again";
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or(wrong)?;
        let size = u32::from_le_bytes(*size) as usize;
        let (units, texts) = rest.split_at_checked(size).ok_or(wrong)?;
        let units = units.chunks_exact(4).map(|u| u32::from_le_bytes([u[0], u[1], u[2], u[3]])).collect();
        Ok(Charsmap { units, texts: texts.to_vec() })
    }

    /// The binary form.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let size = (4 * self.units.len() as u32).to_le_bytes();
        let units = self.units.iter().flat_map(|unit| unit.to_le_bytes());
        size.into_iter().chain(units).chain(self.texts.iter().copied()).collect()
    }

    /// The longest beginning of `text` that is mapped: its length and what it becomes.
    pub(crate) fn longest(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        self.matches(text).last().and_then(|(len, at)| Some((len, self.text(at)?)))
    }

    /// What the shortest mapped beginning of `text` becomes.
    pub(crate) fn shortest(&self, text: &[u8]) -> Option<&[u8]> {
        self.matches(text).next().and_then(|(_, at)| self.text(at))
    }

    fn text(&self, at: usize) -> Option<&[u8]> {
        self.texts.get(at..)?.split(|b| *b == 0).next()
    }

    fn matches<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
        let unit = |node: u32| self.units.get(node as usize).copied();
        let base = |unit: u32| (unit >> 10) << ((unit & 1 << 9) >> 6);
        let root = unit(0).map(base);
        text.iter()
            .take_while(|b| **b != 0)
            .scan(root, move |state, &byte| {
                let node = (*state)? ^ u32::from(byte);
                let here = unit(node).filter(|u| u & (1 << 31 | 0xFF) == u32::from(byte))?;
                let next = node ^ base(here);
                *state = Some(next);
                let leaf = here >> 8 & 1 == 1;
                Some(leaf.then(|| unit(next).map(|u| (u & 0x7FFF_FFFF) as usize)).flatten())
            })
            .enumerate()
            .filter_map(|(i, at)| Some((i + 1, at?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of "a" to "bc": root with base 0 ^ 'a', its node a leaf whose base leads to the value.
    fn map() -> Vec<u8> {
        let mut units = vec![0u32; 256];
        units[0] = 1 << 10;
        let node = 1 ^ 97;
        units[node] = 97 | 1 << 8 | 4 << 10;
        units[node ^ 4] = 1 | 1 << 31;
        let mut bytes = 1024u32.to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|u| u.to_le_bytes()));
        bytes.extend(b"\0bc\0");
        bytes
    }

    #[test]
    fn maps_what_it_knows() {
        let map = Charsmap::new(&map()).expect("whole");
        assert_eq!(map.longest(b"ab"), Some((1, &b"bc"[..])));
        assert_eq!(map.shortest(b"ab"), Some(&b"bc"[..]));
        assert_eq!(map.longest(b"b"), None);
    }

    #[test]
    fn broken_maps_do_no_harm() {
        let whole = map();
        assert!(Charsmap::new(&whole[..3]).is_err());
        assert!(Charsmap::new(&whole[..100]).is_err());
        for i in 0..whole.len() {
            let mut broken = whole.clone();
            broken[i] ^= 0xFF;
            if let Ok(map) = Charsmap::new(&broken) {
                map.longest(b"abc");
            }
        }
    }
}
