//! The YAML front end.
//!
//! A document is read into a tree of values with places first, and the configuration out of the
//! tree. So each fault has a line and a column, and so have those which only a check of the whole
//! finds: their path leads to a place in the tree.

mod deserializer;
mod fault;
mod tree;

use std::path::Path;

use serde::Deserialize;

use self::fault::Fault;
use self::tree::{Content, Node, Place};
use super::check::{self, Problem, Step};
use super::{Config, ConfigError, Loaded};

/// Reads and checks `text`, the content of the file `path`.
pub(super) fn load(text: &str, path: &Path) -> Result<Loaded, ConfigError> {
    read(text).map_err(|fault| {
        let place = fault.place.unwrap_or(Place::START);
        ConfigError::InFile {
            path: path.to_owned(),
            line: place.line,
            column: place.column,
            message: fault.message,
        }
    })
}

fn read(text: &str) -> Result<Loaded, Fault> {
    let root = Node::read(text)?;
    let config = Config::deserialize(&root)?;
    let warnings = check::check(&config)
        .map_err(|problem| Fault::at(find(&root, &problem), problem.message))?;
    Ok(Loaded { config, warnings })
}

/// The place of a problem: the key it is about or, where the file does not have that, the innermost
/// value around it that the file does have.
fn find(root: &Node, problem: &Problem) -> Place {
    let mut node = root;
    let mut place = root.place;
    for step in &problem.path {
        let next = match (step, &node.content) {
            (Step::Key(key), _) => node.get(key).map(|(key, value)| (key.place, value)),
            (Step::Index(index), Content::List(items)) => {
                items.get(*index).map(|item| (item.place, item))
            }
            _ => None,
        };
        let Some((next_place, next_node)) = next else { break };
        (place, node) = (next_place, next_node);
    }
    place
}

#[cfg(test)]
mod tests;
