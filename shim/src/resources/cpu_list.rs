//! Lists of CPUs and memory nodes, for example `0-2,5`.

/// No kernel has as many CPUs or memory nodes.
const MAX_NUMBER: u16 = u16::MAX;

/// The kernel takes at most one page of text (`kernfs_fop_write_iter`).
const MAX_TEXT: usize = 4096;

/// Parses a list to the bits of a set: bit 3 of byte 0 is number 3. The last byte is not 0, so equal
/// sets are equal. `None` if the text is no list.
pub(super) fn parse(text: &str) -> Option<Vec<u8>> {
    if text.len() >= MAX_TEXT {
        return None;
    }
    let mut bits = Vec::new();
    for range in text.trim().split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<u16>().ok();
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last == MAX_NUMBER {
            return None;
        }
        for number in first..=last {
            let byte = usize::from(number / 8);
            bits.resize(bits.len().max(byte + 1), 0);
            bits[byte] |= 1 << (number % 8);
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_set_of_bits() {
        for (text, bits) in [
            ("", Some(vec![])),
            ("0", Some(vec![1])),
            ("0-2,5\n", Some(vec![0b10_0111])),
            ("5, 2-2,0-1", Some(vec![0b10_0111])),
            ("8", Some(vec![0, 1])),
            ("0-15", Some(vec![0xff, 0xff])),
            ("2-1", None),
            ("x", None),
            ("0-", None),
            ("-1", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(parse(text), bits, "{text}");
        }
        assert_eq!(parse(&"0-65000,".repeat(600)), None);
    }
}
