//! The key of receive-side scaling (RSS), which decides the receive queue of a flow.

use nix::errno::Errno;

use super::ioctl::call;

const ETHTOOL_GRSSH: u32 = 0x46;
const ETHTOOL_SRSSH: u32 = 0x47;
/// `ETH_RXFH_INDIR_NO_CHANGE`
const KEEP_TABLE: u32 = u32::MAX;
/// `ETH_RSS_HASH_TOP`: the Toeplitz hash.
const TOEPLITZ: u8 = 1;
/// The length of `struct ethtool_rxfh` (`include/uapi/linux/ethtool.h`) before the table and the
/// key, in bytes.
const HEADER: usize = 24;
const HASH_OFFSET: usize = 16;

/// With this key, repeated, the Toeplitz hash of a flow and of its opposite direction are equal
/// (Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling", 2012).
const SYMMETRIC: [u8; 2] = [0x6d, 0x5a];

fn request(command: u32, table: u32, key: u32) -> Vec<u8> {
    // Command, context 0, and the sizes of the table and the key; the rest stays 0: no change.
    let fields = [command, 0, table, key];
    let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
    bytes.resize(HEADER, 0);
    bytes
}

fn field(bytes: &[u8], index: usize) -> u32 {
    let field = bytes.get(4 * index..).and_then(<[u8]>::first_chunk);
    field.copied().map_or(0, u32::from_ne_bytes)
}

/// Returns the sizes of the table, in entries, and of the key, in bytes.
fn sizes(interface: &str) -> Result<(u32, u32), Errno> {
    let mut bytes = request(ETHTOOL_GRSSH, 0, 0);
    call("read-settings", interface, bytes.as_mut_ptr().cast())?;
    Ok((field(&bytes, 2), field(&bytes, 3)))
}

/// Whether both directions of a flow arrive in the same queue. `None`: the driver does not tell.
///
/// # Errors
/// The kernel's errno; `ENODEV` when the calling thread's network namespace has no such interface.
pub(crate) fn is_symmetric(interface: &str) -> Result<Option<bool>, Errno> {
    let (table, key) = match sizes(interface) {
        Err(Errno::EOPNOTSUPP) => return Ok(None),
        sizes => sizes?,
    };
    if key == 0 {
        return Ok(None);
    }
    let mut bytes = request(ETHTOOL_GRSSH, table, key);
    let key_offset = HEADER + 4 * table as usize;
    bytes.resize(key_offset + key as usize, 0);
    match call("read-settings", interface, bytes.as_mut_ptr().cast()) {
        // ixgbevf asks its PF, which refuses unless an administrator has turned `query_rss` on
        // (`ixgbevf_get_rss_key_locked`).
        Err(Errno::EPERM | Errno::EOPNOTSUPP) => return Ok(None),
        read => read?,
    }
    let is_repeated = bytes[key_offset..].chunks(2).all(|pair| SYMMETRIC.starts_with(pair));
    Ok(Some(is_repeated && bytes[HASH_OFFSET] == TOEPLITZ))
}

/// Sets the symmetric key. The table and the hash function do not change.
///
/// # Errors
/// `EOPNOTSUPP` when the driver has no such key, or a fixed one.
pub(crate) fn set_symmetric(interface: &str) -> Result<(), Errno> {
    let (_, key) = sizes(interface)?;
    if key == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut bytes = request(ETHTOOL_SRSSH, KEEP_TABLE, key);
    bytes.extend(SYMMETRIC.iter().cycle().take(key as usize));
    call("rss", interface, bytes.as_mut_ptr().cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_layout_of_the_kernel() {
        let bytes = request(ETHTOOL_SRSSH, KEEP_TABLE, 52);
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(
            (0..6).map(|index| field(&bytes, index)).collect::<Vec<_>>(),
            [0x47, 0, u32::MAX, 52, 0, 0]
        );
        assert_eq!(field(&bytes, 6), 0, "beyond the end");
    }
}
