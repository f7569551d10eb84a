//! The text of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).

/// Decodes the octal escapes of a field. The kernel writes blanks, tabs, newlines and backslashes in
/// octal (`show_mountinfo`, `fs/proc_namespace.c`). A backslash stays if no three octal digits, up to
/// 377, follow it.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| after.get(..3)).flatten();
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escape_becomes_its_byte_and_other_text_stays() {
        for (written, expected) in [
            (&b"/a\\040b"[..], &b"/a b"[..]),
            (b"/a\\134040", b"/a\\040"),
            (b"/a\\", b"/a\\"),
            (b"/a\\09x", b"/a\\09x"),
            (b"/\\777", b"/\\777"),
        ] {
            assert_eq!(unescape(written), expected);
        }
    }
}
