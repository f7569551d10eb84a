//! Finds network namespaces in `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::kernel::mountinfo::unescape;

/// Returns the mount points of network namespaces (`proc_pid_mountinfo(5)`: fields 4, 5 and, after
/// the dash, 9).
pub(super) fn netns_mounts(text: &[u8]) -> Vec<PathBuf> {
    let mount_points = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (root, mount_point) = (fields.nth(3)?, fields.next()?);
        let is_netns = root.starts_with(b"net:") && fields.any(|field| field == b"nsfs");
        is_netns.then(|| PathBuf::from(OsString::from_vec(unescape(mount_point))))
    });
    mount_points.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_mounts_of_network_namespaces_are_found() {
        let text = b"22 1 0:21 / /proc rw - proc proc rw
30 22 0:4 net:[4026532270] /run/netns/a rw shared:9 - nsfs nsfs rw
31 22 0:4 mnt:[4026532271] /run/mnt rw - nsfs nsfs rw
32 22 0:5 net: /tmp/x rw - tmpfs tmpfs rw
33 22 0:4 net:[4026532272] /a\\040b\\134c rw - nsfs nsfs rw
broken
";
        assert_eq!(netns_mounts(text), [Path::new("/run/netns/a"), Path::new("/a b\\c")]);
    }
}
