//! The bytes of D-Bus values (D-Bus specification, "Marshaling").

/// Serializes values. Each is aligned to its size, from the start of the bytes.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn align(&mut self, size: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(size), 0);
        self
    }

    pub(crate) fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes.push(byte);
        self
    }

    pub(crate) fn number(&mut self, number: u32) -> &mut Self {
        self.align(4).bytes.extend(number.to_ne_bytes());
        self
    }

    pub(crate) fn long_number(&mut self, number: u64) -> &mut Self {
        self.align(8).bytes.extend(number.to_ne_bytes());
        self
    }

    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.number(length(text.as_bytes())).bytes.extend(text.as_bytes());
        self.byte(0)
    }

    /// A signature, which names types. No signature of this program is longer than 255 bytes.
    pub(crate) fn signature(&mut self, text: &str) -> &mut Self {
        self.byte(u8::try_from(text.len()).unwrap_or(u8::MAX)).bytes.extend(text.as_bytes());
        self.byte(0)
    }

    /// An array; `write` adds its elements. The length counts neither itself nor the padding in
    /// front of the first element.
    pub(crate) fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.number(0);
        let at = self.bytes.len();
        let start = self.align(alignment).bytes.len();
        write(self);
        let length = length(&self.bytes[start..]);
        self.bytes[at - 4..at].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

pub(super) fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

pub(super) fn read_number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The string at a position that is aligned to 4.
pub(crate) fn read_string(bytes: &[u8], at: usize) -> Option<&str> {
    let length = read_number(bytes, at)? as usize;
    std::str::from_utf8(bytes.get(at + 4..at + 4 + length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_to_their_sizes() {
        let mut writer = Writer::default();
        writer.byte(1).number(2).array(8, |array| {
            array.long_number(3);
        });
        writer.signature("ay").string("x");
        let number = |number: u32| number.to_ne_bytes().to_vec();
        let expected = [
            vec![1, 0, 0, 0],
            number(2),
            // The length of the array, and the padding in front of its element.
            number(8),
            vec![0; 4],
            3_u64.to_ne_bytes().to_vec(),
            vec![2, b'a', b'y', 0],
            number(1),
            vec![b'x', 0],
        ];
        assert_eq!(writer.bytes, expected.concat());
        assert_eq!(read_string(&writer.bytes, 28), Some("x"));
        assert_eq!(read_string(&writer.bytes, 29), None);
    }
}
