//! Bodies written in Go's text/template, as kube-eventer's users write them.
//!
//! Invariants: no template and no event makes it panic or run without end; what an action prints
//! inside a text of a JSON body is escaped, so that the body stays JSON whatever the message says;
//! the same event gives the same bytes.
//!
//! It knows the fields of core/v1 Event by their Go names, the methods of a time, variables,
//! `if`/`else`/`range`/`with`/`break`/`continue`, and every built-in function but `call`. It does
//! not know `define`, `block` and `template`.

mod evaluator;
mod function;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lexer;
mod node;
mod output;
mod parser;
mod printf;
mod shape;
mod time;
mod value;

pub(super) use output::{Escaping, Rendered};

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use evaluator::Evaluator;
use node::{Node, Place};

/// A template that can be rendered.
pub(super) struct Template {
    nodes: Vec<Node>,
    escaping: Escaping,
}

/// A template, or an event for it, that does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template line {line}, {action}: {reason}")]
pub(super) struct TemplateError {
    /// Line of the template, from 1.
    line: usize,
    /// The offending action.
    action: String,
    /// What is wrong with it.
    reason: String,
    /// Whether it is wrong for every event, and not for this one only.
    always: bool,
}

/// An event with something in every field, to find what can never work.
const SAMPLE: &str = include_str!("sample.json");

impl Template {
    /// Reads a template, and tries it so that an unknown field is found now and not by an event.
    pub(super) fn compile(text: &str, escaping: Escaping) -> Result<Self, TemplateError> {
        let template = Self { nodes: parser::parse(text)?, escaping };
        for sample in [SAMPLE, "{}"] {
            let event = serde_json::from_str(sample).unwrap_or_default();
            match template.render(&event, &TimeZone::UTC) {
                Err(error) if error.always => return Err(error),
                _ => {}
            }
        }
        Ok(template)
    }

    /// The body for an event. Times are shown in `zone`.
    pub(super) fn render(&self, event: &Json, zone: &TimeZone) -> Result<Rendered, TemplateError> {
        Evaluator::new(zone, self.escaping).run(&self.nodes, event)
    }
}

impl TemplateError {
    fn at(place: &Place, reason: impl Into<String>) -> Self {
        Self { line: place.line, action: place.action.clone(), reason: reason.into(), always: true }
    }
}

#[cfg(test)]
mod tests;
