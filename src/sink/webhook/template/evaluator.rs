//! Rendering: a walk over the tree with an event in hand.
//!
//! Invariant: a walk ends after at most [`MOST_STEPS`] steps. A value counts by its length, so that
//! neither time nor memory grows with what a template does to it again and again.

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::function;
use super::node::{Base, Block, Command, Control, Node, Operand, Pipeline, Place};
use super::output::{Output, TooLong};
use super::shape::EVENT;
use super::time;
use super::value::{Struct, Value};
use super::{Escaping, Rendered, TemplateError};
use crate::sink::options;

/// Nodes shown and operands read by one rendering. Only a range over a large number needs more.
const MOST_STEPS: usize = 100_000;
/// Bytes of a value that count as one step: 25 MB in all, a thousand times what an event's texts take.
const BYTES_A_STEP: usize = 1 << 8;

/// Why an action failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// Whether it fails for every event.
    pub(super) always: bool,
}

impl Failure {
    /// Fails for this event.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), always: false }
    }

    /// Fails for every event.
    pub(super) fn always(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), always: true }
    }
}

impl From<TooLong> for Failure {
    fn from(_: TooLong) -> Self {
        Self::new("the body gets longer than any service takes")
    }
}

/// What happens after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One rendering.
pub(super) struct Evaluator<'a> {
    zone: &'a TimeZone,
    output: Output,
    variables: Vec<(&'a str, Value<'a>)>,
    steps: usize,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(zone: &'a TimeZone, escaping: Escaping) -> Self {
        Self { zone, output: Output::new(escaping), variables: Vec::new(), steps: 0 }
    }

    /// Renders `nodes` for `event`.
    pub(super) fn run(
        mut self,
        nodes: &'a [Node],
        event: &'a Json,
    ) -> Result<Rendered, TemplateError> {
        let dot = Value::Struct(Struct { shape: &EVENT, json: Some(event), is_pointer: false });
        self.variables.push(("$", dot.clone()));
        self.walk(nodes, &dot)?;
        Ok(self.output.finish())
    }

    fn walk(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.output
                        .literal(text)
                        .map_err(|long| located(&Place::default(), long.into()))?;
                    Flow::Next
                }
                Node::Print(place, pipeline) => {
                    self.print(pipeline, dot).map_err(|failure| located(place, failure))?;
                    Flow::Next
                }
                Node::Block(block) => self.block(block, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Result<(), Failure> {
        let value = self.pipeline(pipeline, dot)?;
        if pipeline.variables.is_empty() {
            let text = value.shown(self.zone);
            self.output.value(&text, pipeline.is_script_text())?;
        } else {
            self.bind(pipeline, [value.clone(), value]);
        }
        Ok(())
    }

    fn block(&mut self, block: &'a Block, dot: &Value<'a>) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = self
            .pipeline(&block.pipeline, dot)
            .map_err(|failure| located(&block.place, failure))?;
        let flow = if block.control == Control::Range {
            self.range(block, dot, &value)
        } else {
            self.bind(&block.pipeline, [value.clone(), value.clone()]);
            if !value.is_true() {
                self.walk(&block.otherwise, dot)
            } else if block.control == Control::With {
                self.walk(&block.body, &value)
            } else {
                self.walk(&block.body, dot)
            }
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(
        &mut self,
        block: &'a Block,
        dot: &Value<'a>,
        value: &Value<'a>,
    ) -> Result<Flow, TemplateError> {
        let numbers = match value {
            Value::Integer(count) => 0..*count,
            _ => 0..0,
        };
        if matches!(
            value,
            Value::Bool(_) | Value::Float(_) | Value::Text(_) | Value::Time(_) | Value::Struct(_)
        ) {
            let reason = format!("a range cannot go through a {}", value.type_name());
            return Err(located(&block.place, Failure::always(reason)));
        }
        let entries = value.entries();
        if entries.is_empty() && numbers.is_empty() {
            return self.walk(&block.otherwise, dot);
        }
        let counted = numbers.map(|number| (Value::Integer(number), Value::Integer(number)));
        let scope = self.variables.len();
        for (key, element) in entries.into_iter().chain(counted) {
            self.steps(1).map_err(|failure| located(&block.place, failure))?;
            self.bind(&block.pipeline, [key, element.clone()]);
            let flow = self.walk(&block.body, &element)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// Gives the variables of a pipeline their values: one takes the second, two take both.
    fn bind(&mut self, pipeline: &'a Pipeline, values: [Value<'a>; 2]) {
        let skipped = 2 - pipeline.variables.len().min(2);
        for (name, value) in pipeline.variables.iter().zip(values.into_iter().skip(skipped)) {
            let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
            match known {
                Some((_, place)) if pipeline.assigns => *place = value,
                _ => self.variables.push((name, value)),
            }
        }
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Result<Value<'a>, Failure> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::Nil))
    }

    /// Evaluates a command; `piped` is the value of the one before it.
    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>, Failure> {
        if let Base::Function(name) = &command.operand.base {
            if name == "and" || name == "or" {
                return self.first_that_decides(name == "or", command, dot, piped);
            }
            let arguments = self.arguments(command, dot, piped)?;
            let value = function::call(name, &arguments, self.zone)?;
            self.steps(1 + value.weight() / BYTES_A_STEP)?;
            return Ok(value);
        }
        let arguments = self.arguments(command, dot, piped)?;
        self.operand(&command.operand, dot, &arguments)
    }

    fn arguments(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Vec<Value<'a>>, Failure> {
        let mut values = Vec::new();
        for argument in &command.arguments {
            values.push(self.operand(argument, dot, &[])?);
        }
        values.extend(piped);
        Ok(values)
    }

    /// `and` and `or`: operands behind the one that decides are not evaluated.
    fn first_that_decides(
        &mut self,
        deciding: bool,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>, Failure> {
        let mut last = None;
        for argument in &command.arguments {
            let value = self.operand(argument, dot, &[])?;
            if value.is_true() == deciding {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or_else(|| Failure::always("and/or need a value"))
    }

    /// A value with its chain of fields; the last of them gets the arguments.
    fn operand(
        &mut self,
        operand: &'a Operand,
        dot: &Value<'a>,
        arguments: &[Value<'a>],
    ) -> Result<Value<'a>, Failure> {
        let value = self.operand_value(operand, dot, arguments)?;
        self.steps(1 + value.weight() / BYTES_A_STEP)?;
        Ok(value)
    }

    fn operand_value(
        &mut self,
        operand: &'a Operand,
        dot: &Value<'a>,
        arguments: &[Value<'a>],
    ) -> Result<Value<'a>, Failure> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => self.variable(name),
            Base::Function(name) => function::call(name, arguments, self.zone)?,
            Base::Text(text) => Value::text(text.as_str()),
            Base::Integer(number) => Value::Integer(*number),
            Base::Float(number) => Value::Float(*number),
            Base::Bool(value) => Value::Bool(*value),
            Base::Nil => Value::Nil,
            Base::Parenthesised(pipeline) => self.pipeline(pipeline, dot)?,
        };
        let Some((last, fields)) = operand.fields.split_last() else {
            let is_call = matches!(operand.base, Base::Function(_));
            return match arguments {
                [] => Ok(value),
                _ if is_call => Ok(value),
                _ => Err(Failure::always("only a function or method takes arguments")),
            };
        };
        for field in fields {
            value = self.member(&value, field, &[])?;
        }
        self.member(&value, last, arguments)
    }

    fn variable(&self, name: &str) -> Value<'a> {
        // The parser has seen that it is defined.
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        found.map_or(Value::Nil, |(_, value)| value.clone())
    }

    fn member(
        &self,
        value: &Value<'a>,
        name: &str,
        arguments: &[Value<'a>],
    ) -> Result<Value<'a>, Failure> {
        let found = match value {
            Value::Struct(value) if arguments.is_empty() => {
                // `GetName` and the like return the field.
                let getter = name.strip_prefix("Get");
                value
                    .field(name, self.zone)
                    .or_else(|| getter.and_then(|field| value.field(field, self.zone)))
            }
            Value::Map(map) if arguments.is_empty() => {
                let text = map.and_then(|map| map.get(name)).and_then(Json::as_str);
                Some(text.map_or(Value::Missing, Value::text))
            }
            Value::Time(moment) => time::method(moment, name, arguments, self.zone),
            Value::Missing | Value::Nil => {
                return Err(Failure::new(format!(".{name} is asked of a value that is not there")));
            }
            _ => None,
        };
        found.ok_or_else(|| {
            let hint = match value {
                Value::Struct(value) => options::hint(name, value.names()),
                _ => String::new(),
            };
            let with = if arguments.is_empty() { "" } else { " with these arguments" };
            Failure::always(format!("a {} has no {name}{with}{hint}", value.type_name()))
        })
    }

    fn steps(&mut self, count: usize) -> Result<(), Failure> {
        self.steps += count;
        if self.steps > MOST_STEPS {
            return Err(Failure::new(format!("it takes more than {MOST_STEPS} steps")));
        }
        Ok(())
    }
}

fn located(place: &Place, failure: Failure) -> TemplateError {
    TemplateError { always: failure.always, ..TemplateError::at(place, failure.reason) }
}
