//! A template as a tree.

/// Where an action stands, for messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Line, from 1.
    pub(super) line: usize,
    /// The action as written, shortened.
    pub(super) action: String,
}

/// One piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Text outside of actions.
    Text(String),
    /// `{{ pipeline }}`.
    Print(Place, Pipeline),
    /// `{{ if … }}`, `{{ with … }}` or `{{ range … }}` up to its `{{ end }}`.
    Block(Block),
    /// `{{ break }}`.
    Break,
    /// `{{ continue }}`.
    Continue,
}

/// What decides how often a block is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    If,
    With,
    Range,
}

/// A control structure.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) place: Place,
    pub(super) control: Control,
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Variables that take the value: none, one, or two of a range.
    pub(super) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand, or a function or method with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) operand: Operand,
    pub(super) arguments: Vec<Operand>,
}

/// A value with a chain of fields behind it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

/// What an operand begins with.
#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Function(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Nil,
    Parenthesised(Box<Pipeline>),
}

impl Pipeline {
    /// Whether its value is a JavaScript text already, which JSON must not escape again.
    pub(super) fn is_script_text(&self) -> bool {
        self.commands.last().is_some_and(
            |command| matches!(&command.operand.base, Base::Function(name) if name == "js"),
        )
    }
}
