//! What is tried with inputs nobody thought of: one function per target of `fuzz/`.
//!
//! Compiled for the fuzzer (`--cfg fuzzing`) and for unit tests, never into the product. Each function
//! takes any bytes and panics when a promise is broken; what it promises stands beside the code it is
//! about, in the `fuzzing` of that module. The unit tests here replay the corpora, so an input that
//! once found something is tried by every `cargo test`.

/// Blocks and records of the log: any bytes, any records, any damage.
pub fn block(data: &[u8]) {
    crate::log::fuzzing::block(data);
}

/// Positions and keys: their bytes sort as they do, and everything reads back.
pub fn key_order(data: &[u8]) {
    crate::log::fuzzing::key_order(data);
    crate::cursor::fuzzing::keys(data);
}

/// A log on disk against a list in memory.
pub fn log_operations(data: &[u8]) {
    crate::log::fuzzing::operations(data);
}

/// Everything else that is stored: seals, identity, cursors, gaps, dead letters.
pub fn stored(data: &[u8]) {
    crate::log::fuzzing::stored(data);
    crate::cursor::fuzzing::stored(data);
}

/// What the API server sends.
pub fn watch_lines(data: &[u8]) {
    crate::source::fuzzing::watch_lines(data);
}

/// kube-eventer's command line and URIs.
pub fn uris(data: &[u8]) {
    crate::config::fuzzing::uris(data);
}

/// Configuration files.
pub fn yaml(data: &[u8]) {
    crate::config::fuzzing::yaml(data);
}

/// Templates of the webhook's body.
pub fn template(data: &[u8]) {
    crate::sink::fuzz_template(data);
}

/// Plain values, taken from the front of an input. One that has ended gives zeros.
#[derive(Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn word(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// At most `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// A text of at most 255 bytes.
    pub(crate) fn text(&mut self) -> String {
        let length = self.byte().into();
        String::from_utf8_lossy(self.bytes(length)).into_owned()
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let mut array = [0; LENGTH];
        let front = self.bytes(LENGTH);
        array[..front.len()].copy_from_slice(front);
        array
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(&corpus).expect("a corpus").flatten() {
            println!("{}", entry.path().display());
            run(&std::fs::read(entry.path()).expect("an input"));
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", corpus.display());
    }

    macro_rules! corpora {
        ($($test:ident: $target:ident;)*) => {
            $(
                #[test]
                fn $test() {
                    replay(stringify!($target), super::$target);
                }
            )*

            #[test]
            fn every_corpus_has_a_target() {
                let known = [$(stringify!($target)),*];
                let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
                for entry in std::fs::read_dir(corpora).expect("corpora").flatten() {
                    let name = entry.file_name();
                    assert!(known.iter().any(|target| name == *target), "{name:?} has no test");
                }
            }
        };
    }

    corpora! {
        the_corpus_of_blocks_passes: block;
        the_corpus_of_keys_passes: key_order;
        the_corpus_of_operations_on_the_log_passes: log_operations;
        the_corpus_of_stored_bytes_passes: stored;
        the_corpus_of_watch_lines_passes: watch_lines;
        the_corpus_of_command_lines_passes: uris;
        the_corpus_of_configuration_files_passes: yaml;
        the_corpus_of_templates_passes: template;
    }
}
