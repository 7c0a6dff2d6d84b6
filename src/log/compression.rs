//! zstd with contexts that are used again: making one costs more than compressing a small block.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effort {
    /// For bodies: lower levels save a tenth of the time and take a quarter more room, higher ones
    /// gain a few percent on blocks of this size.
    Usual = 1,
    /// For heads, which are short: a third of the time for a tenth more of the block.
    Little = -1,
}

/// Room for buffers that a thread keeps: that of an ordinary block. An allocation of this size costs
/// system calls each time.
const KEPT_BYTES: usize = 128 << 10;

/// What a thread compresses with.
struct Workshop {
    compressor: Compressor<'static>,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Workshop {
    #[allow(clippy::expect_used)]
    fn new() -> Self {
        let compressor = Compressor::new(Effort::Usual as i32).expect("a valid level");
        Self { compressor, plain: Vec::new(), compressed: Vec::new() }
    }
}

thread_local! {
    static COMPRESSOR: RefCell<Option<Workshop>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses parts, one after another, as one; also says how long they are together. It cannot fail
/// in memory: the level is valid, and the room is what zstd asks for.
#[allow(clippy::expect_used)]
pub(super) fn compress<'a>(
    effort: Effort,
    parts: impl Iterator<Item = &'a [u8]>,
) -> (Vec<u8>, usize) {
    COMPRESSOR.with_borrow_mut(|slot| {
        let Workshop { compressor, plain, compressed } = slot.get_or_insert_with(Workshop::new);
        plain.clear();
        parts.for_each(|part| plain.extend_from_slice(part));
        compressed.clear();
        compressed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        compressor.set_compression_level(effort as i32).expect("a valid level");
        compressor.compress_to_buffer(plain, compressed).expect("compression into memory");
        let result = (compressed.clone(), plain.len());
        plain.shrink_to(KEPT_BYTES);
        compressed.shrink_to(KEPT_BYTES);
        result
    })
}

/// Decompresses into exactly `length` bytes; `None` when the bytes are not as they were compressed.
pub(super) fn decompress(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    // The frame says how long its content is: a wrong length is refused before there is room for it.
    let said = zstd::zstd_safe::get_frame_content_size(bytes).ok()??;
    if said != length as u64 {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
        Some(decompressor) => decompressor.decompress(bytes, length).ok(),
        None => decompressor.insert(Decompressor::new().ok()?).decompress(bytes, length).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_length_that_was_compressed_is_believed() {
        for plain in [&b""[..], b"x", &[7; 300], &[0; 9000]] {
            let (compressed, _) = compress(Effort::Usual, [plain].into_iter());
            assert_eq!(decompress(&compressed, plain.len()).as_deref(), Some(plain));
            assert_eq!(decompress(&compressed, plain.len() + 1), None);
            assert_eq!(decompress(&compressed, 256 << 20), None);
        }
        assert_eq!(decompress(b"no frame", 8), None);
    }
}
