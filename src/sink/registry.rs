//! Every kind of sink there is.

use serde_json::{Map, Value};

use super::{Batch, Sink, SinkContext, SinkError};

/// A kind of sink.
pub struct Kind {
    /// Its name in configurations.
    pub name: &'static str,
    /// Other spellings kube-eventer users write.
    pub aliases: &'static [&'static str],
    /// Name of kube-eventer's sink of this kind in its metrics (`exporter` label).
    pub eventer_name: &'static str,
    /// Limits of a delivery unless configured; every field is set.
    pub batch: Batch,
    /// Names of its options, for messages about unknown ones.
    pub options: &'static [&'static str],
    /// Builds a sink, or says which option is wrong. Never connects: a target that is down is
    /// a matter of delivery.
    pub build: fn(&Map<String, Value>, &SinkContext) -> Result<Box<dyn Sink>, SinkError>,
}

/// All kinds, in the order of the documentation.
pub static KINDS: &[Kind] = &[];

/// The kind with this name or alias.
pub fn find(name: &str) -> Result<&'static Kind, SinkError> {
    KINDS.iter().find(|kind| kind.name == name || kind.aliases.contains(&name)).ok_or_else(|| {
        SinkError::UnknownKind { kind: name.to_owned(), hint: String::new(), known: String::new() }
    })
}
