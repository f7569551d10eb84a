//! What `/proc/self/mountinfo` says of network namespaces.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Where namespaces are mounted (`proc_pid_mountinfo(5)`: fields 4, 5 and, after the dash, 9).
pub(super) fn mounted(text: &[u8]) -> Vec<PathBuf> {
    let places = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (root, place) = (fields.nth(3)?, fields.next()?);
        let of_net = root.starts_with(b"net:") && fields.any(|field| field == b"nsfs");
        of_net.then(|| PathBuf::from(OsString::from_vec(unescaped(place))))
    });
    places.collect()
}

/// Blanks, line ends and backslashes are octal there (`show_mountinfo`, `fs/proc_namespace.c`).
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
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
    use std::path::Path;

    use super::*;

    #[test]
    fn mounted_namespaces_are_told_from_other_mounts() {
        let text = b"22 1 0:21 / /proc rw - proc proc rw
30 22 0:4 net:[4026532270] /run/netns/a rw shared:9 - nsfs nsfs rw
31 22 0:4 mnt:[4026532271] /run/mnt rw - nsfs nsfs rw
32 22 0:5 net: /tmp/x rw - tmpfs tmpfs rw
33 22 0:4 net:[4026532272] /a\\040b\\134c rw - nsfs nsfs rw
broken
";
        assert_eq!(mounted(text), [Path::new("/run/netns/a"), Path::new("/a b\\c")]);
    }

    #[test]
    fn a_path_is_read_as_it_was_before_the_kernel_wrote_it() {
        for (written, read) in [
            (&b"/a\\040b"[..], &b"/a b"[..]),
            (b"/a\\", b"/a\\"),
            (b"/a\\09x", b"/a\\09x"),
            (b"/\\777", b"/\\777"),
        ] {
            assert_eq!(unescaped(written), read);
        }
    }
}
