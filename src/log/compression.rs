//! zstd with contexts that are used again: making one costs more than compressing a small block.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// Level 1 is the fastest; higher ones gain a few percent on blocks of this size.
const LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses. It cannot fail in memory: the level is valid, and the room is what zstd asks for.
#[allow(clippy::expect_used)]
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor
            .get_or_insert_with(|| Compressor::new(LEVEL).expect("a valid level"))
            .compress(bytes)
            .expect("compression into memory")
    })
}

/// Decompresses into at most `limit` bytes; `None` when the bytes are not as they were compressed.
pub(super) fn decompress(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
        Some(decompressor) => decompressor.decompress(bytes, limit).ok(),
        None => decompressor.insert(Decompressor::new().ok()?).decompress(bytes, limit).ok(),
    })
}
