//! Formats in front of small files: what a newer version has written is told from damage.
//!
//! A small file is its format (1), a checksum (CRC-32), and the rest. In format 1 the checksum is that of
//! the rest; in every later format it is that of the format and the rest. A changed byte, also when it
//! is the format, is therefore damage, and only an intact file is taken for a newer one.

use std::path::Path;

use super::LogError;

/// Refuses an intact file of a format above `known`.
pub(super) fn refuse_newer(
    file: &Path,
    what: &'static str,
    bytes: &[u8],
    known: u8,
) -> Result<(), LogError> {
    match newer(bytes, known) {
        Some(found) => Err(LogError::newer_entry(file, what, found, known)),
        None => Ok(()),
    }
}

fn newer(bytes: &[u8], known: u8) -> Option<u8> {
    let (head, rest) = bytes.split_first_chunk::<5>()?;
    let [format, sum @ ..] = *head;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&[format]);
    checksum.update(rest);
    (format > known && u32::from_le_bytes(sum) == checksum.finalize()).then_some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(format: u8, sum: u32) -> Vec<u8> {
        [&[format], &sum.to_le_bytes()[..], b"content"].concat()
    }

    #[test]
    fn only_an_intact_file_is_taken_for_a_newer_one() {
        let file = Path::new("seal");
        let refused = |bytes: &[u8]| refuse_newer(file, "a seal", bytes, 1).is_err();
        let newer = stamped(3, crc32fast::hash(b"\x03content"));
        assert!(refused(&newer));
        for at in 0..newer.len() {
            let mut changed = newer.clone();
            changed[at] ^= 1;
            assert!(!refused(&changed), "byte {at}");
        }
        assert!(!refused(&stamped(3, crc32fast::hash(b"content"))), "a changed byte of format 1");
        assert!(!refused(&stamped(1, crc32fast::hash(b"\x01content"))), "not newer");
        assert!(!refused(b""));
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let bytes = stamped(9, crc32fast::hash(b"\x09content"));
        let error = refuse_newer(Path::new("data/seal"), "a seal", &bytes, 1).expect_err("newer");
        assert_eq!(
            error.to_string(),
            "data/seal holds a seal of format 9, this version knows formats up to 1; \
             run the newer version again"
        );
    }
}
