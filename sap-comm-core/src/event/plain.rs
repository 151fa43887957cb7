//! What stands in a JSON string as it is.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// How many bytes there are before the first that ends a JSON string or has to be escaped in it. Eight are looked at together.
pub(super) fn plain(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\') || *byte < b' ';
    text.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The high bit of each special byte; of those above the lowest, of others as well.
fn special(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_space = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
    (below_space | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')))) & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_is_told_at_every_place() {
        for byte in 0..=u8::MAX {
            let special = matches!(byte, b'"' | b'\\') || byte < b' ';
            for before in 0..20 {
                for filler in [b'a', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                    let mut text = vec![filler; 24];
                    text[before] = byte;
                    assert_eq!(plain(&text), if special { before } else { 24 }, "{byte} after {before} times {filler}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_first_special_byte(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let first = text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain(&text), first.unwrap_or(text.len()));
        }
    }
}
