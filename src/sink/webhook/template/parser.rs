//! The tree of a template.
//!
//! Invariant: a tree is at most [`DEEPEST`] deep, and every function and variable in it exists.

use std::collections::VecDeque;

use super::TemplateError;
use super::lexer::{Piece, Token, TokenKind, pieces};
use super::node::{Base, Block, Command, Control, Node, Operand, Pipeline, Place};
use crate::sink::options;

use super::function;

/// Blocks and parentheses inside each other. The stack of a thread holds many times as much.
const DEEPEST: usize = 50;

/// Reads a template.
pub(super) fn parse(template: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        pieces: pieces(template)?.into(),
        variables: vec!["$".to_owned()],
        depth: 0,
        ranges: 0,
    };
    let (nodes, end) = parser.nodes()?;
    match end {
        End::Template => Ok(nodes),
        End::Block(place) | End::Else(place, _) => {
            Err(TemplateError::at(&place, "there is no if, with or range it belongs to"))
        }
    }
}

/// What a list of nodes ended with.
enum End {
    Template,
    Block(Place),
    Else(Place, VecDeque<Token>),
}

struct Parser {
    pieces: VecDeque<Piece>,
    variables: Vec<String>,
    depth: usize,
    ranges: usize,
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.pop_front() {
            let (place, tokens) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(place, tokens) => (place, VecDeque::from(tokens)),
            };
            let keyword = match tokens.front() {
                Some(Token { kind: TokenKind::Word(word), .. }) => word.clone(),
                _ => String::new(),
            };
            match (keyword.as_str(), tokens.len()) {
                ("end", 1) => return Ok((nodes, End::Block(place))),
                ("else", _) => return Ok((nodes, End::Else(place, tokens))),
                ("break", 1) if self.ranges > 0 => nodes.push(Node::Break),
                ("continue", 1) if self.ranges > 0 => nodes.push(Node::Continue),
                ("break" | "continue", _) => {
                    return Err(TemplateError::at(&place, "it stands alone, inside a range"));
                }
                ("define" | "block" | "template", _) => {
                    return Err(TemplateError::at(
                        &place,
                        format!("{keyword} is not supported; write the text where it is needed"),
                    ));
                }
                _ => nodes.push(match control(&keyword) {
                    Some(control) => Node::Block(self.block(place, control, tokens)?),
                    None => Node::Print(place.clone(), self.action(&place, tokens, false)?),
                }),
            }
        }
        Ok((nodes, End::Template))
    }

    /// A control structure, whose keyword is the first of `tokens`, up to its end.
    fn block(
        &mut self,
        place: Place,
        control: Control,
        mut tokens: VecDeque<Token>,
    ) -> Result<Block, TemplateError> {
        self.deeper(&place)?;
        let scope = self.variables.len();
        tokens.pop_front();
        let pipeline = self.action(&place, tokens, control == Control::Range)?;
        let inner = self.variables.len();
        self.ranges += usize::from(control == Control::Range);
        let (body, end) = self.nodes()?;
        self.ranges -= usize::from(control == Control::Range);
        self.variables.truncate(inner);
        let otherwise = match end {
            End::Template => return Err(TemplateError::at(&place, "its {{ end }} is missing")),
            End::Block(_) => Vec::new(),
            End::Else(at, tokens) => self.otherwise(at, tokens)?,
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Block { place, control, pipeline, body, otherwise })
    }

    /// What follows an `else`: another block that shares the end, or nodes up to the end.
    fn otherwise(
        &mut self,
        place: Place,
        mut tokens: VecDeque<Token>,
    ) -> Result<Vec<Node>, TemplateError> {
        tokens.pop_front();
        match tokens.front().map(|token| token.kind.clone()) {
            Some(TokenKind::Word(word)) if word == "if" || word == "with" => {
                let control = if word == "if" { Control::If } else { Control::With };
                Ok(vec![Node::Block(self.block(place, control, tokens)?)])
            }
            Some(_) => Err(TemplateError::at(&place, "only `if` or `with` may follow `else`")),
            None => match self.nodes()? {
                (nodes, End::Block(_)) => Ok(nodes),
                (_, End::Else(second, _)) => {
                    Err(TemplateError::at(&second, "there is an else before it already"))
                }
                (_, End::Template) => Err(TemplateError::at(&place, "its {{ end }} is missing")),
            },
        }
    }

    /// A whole action as a pipeline.
    fn action(
        &mut self,
        place: &Place,
        mut tokens: VecDeque<Token>,
        is_range: bool,
    ) -> Result<Pipeline, TemplateError> {
        let (variables, assigns) = declaration(&mut tokens);
        if variables.len() > 1 && !is_range {
            return Err(TemplateError::at(place, "only a range has two variables"));
        }
        let commands = self.commands(place, &mut tokens)?;
        if let Some(token) = tokens.front() {
            return Err(TemplateError::at(place, format!("{} is not expected here", shown(token))));
        }
        for variable in &variables {
            if assigns {
                self.check_variable(place, variable)?;
            } else {
                self.variables.push(variable.clone());
            }
        }
        Ok(Pipeline { variables, assigns, commands })
    }

    fn commands(
        &mut self,
        place: &Place,
        tokens: &mut VecDeque<Token>,
    ) -> Result<Vec<Command>, TemplateError> {
        let mut commands = Vec::new();
        loop {
            let command = self.command(place, tokens)?;
            let callable = matches!(command.operand.base, Base::Function(_))
                || !command.operand.fields.is_empty();
            if !commands.is_empty() && !callable {
                return Err(TemplateError::at(place, "only a function may follow a |"));
            }
            commands.push(command);
            match tokens.front() {
                Some(Token { kind: TokenKind::Pipe, .. }) => drop(tokens.pop_front()),
                _ => return Ok(commands),
            }
        }
    }

    fn command(
        &mut self,
        place: &Place,
        tokens: &mut VecDeque<Token>,
    ) -> Result<Command, TemplateError> {
        let operand = self.operand(place, tokens)?;
        let mut arguments = Vec::new();
        while tokens.front().is_some_and(|token| starts_operand(&token.kind)) {
            arguments.push(self.operand(place, tokens)?);
        }
        Ok(Command { operand, arguments })
    }

    fn operand(
        &mut self,
        place: &Place,
        tokens: &mut VecDeque<Token>,
    ) -> Result<Operand, TemplateError> {
        let token =
            tokens.pop_front().ok_or_else(|| TemplateError::at(place, "a value is missing"))?;
        let mut fields = Vec::new();
        let base = match token.kind {
            TokenKind::Dot => Base::Dot,
            TokenKind::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            TokenKind::Variable(name) => {
                self.check_variable(place, &name)?;
                Base::Variable(name)
            }
            TokenKind::Text(text) => Base::Text(text),
            TokenKind::Integer(number) => Base::Integer(number),
            TokenKind::Float(number) => Base::Float(number),
            TokenKind::Open => Base::Parenthesised(Box::new(self.parenthesised(place, tokens)?)),
            TokenKind::Word(word) => word_base(place, word)?,
            _ => {
                return Err(TemplateError::at(
                    place,
                    format!("{} is not expected here", shown(&token)),
                ));
            }
        };
        while let Some(Token { kind: TokenKind::Field(name), spaced: false }) = tokens.front() {
            fields.push(name.clone());
            tokens.pop_front();
        }
        let has_fields = matches!(base, Base::Dot | Base::Variable(_) | Base::Parenthesised(_));
        if !has_fields && !fields.is_empty() {
            return Err(TemplateError::at(place, format!(".{} does not belong there", fields[0])));
        }
        Ok(Operand { base, fields })
    }

    /// What stands between `(` and `)`.
    fn parenthesised(
        &mut self,
        place: &Place,
        tokens: &mut VecDeque<Token>,
    ) -> Result<Pipeline, TemplateError> {
        self.deeper(place)?;
        let commands = self.commands(place, tokens)?;
        self.depth -= 1;
        match tokens.pop_front() {
            Some(Token { kind: TokenKind::Close, .. }) => {
                Ok(Pipeline { variables: Vec::new(), assigns: false, commands })
            }
            _ => Err(TemplateError::at(place, "a ) is missing")),
        }
    }

    fn deeper(&mut self, place: &Place) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(TemplateError::at(place, "blocks or parentheses are nested too deep"));
        }
        Ok(())
    }

    fn check_variable(&self, place: &Place, name: &str) -> Result<(), TemplateError> {
        if self.variables.iter().any(|variable| variable == name) {
            return Ok(());
        }
        Err(TemplateError::at(place, format!("the variable {name} is not defined")))
    }
}

fn control(keyword: &str) -> Option<Control> {
    match keyword {
        "if" => Some(Control::If),
        "with" => Some(Control::With),
        "range" => Some(Control::Range),
        _ => None,
    }
}

/// Takes `$a :=`, `$a =` or `$a, $b :=` off the front.
fn declaration(tokens: &mut VecDeque<Token>) -> (Vec<String>, bool) {
    let kind = |at: usize| tokens.get(at).map(|token| &token.kind);
    let (variables, length) = match (kind(0), kind(1), kind(2)) {
        (
            Some(TokenKind::Variable(first)),
            Some(TokenKind::Comma),
            Some(TokenKind::Variable(second)),
        ) => (vec![first.clone(), second.clone()], 3),
        (Some(TokenKind::Variable(only)), _, _) => (vec![only.clone()], 1),
        _ => return (Vec::new(), false),
    };
    let assigns = match kind(length) {
        Some(TokenKind::Declare) => false,
        Some(TokenKind::Assign) => true,
        _ => return (Vec::new(), false),
    };
    tokens.drain(..=length);
    (variables, assigns)
}

fn word_base(place: &Place, word: String) -> Result<Base, TemplateError> {
    match word.as_str() {
        "true" => Ok(Base::Bool(true)),
        "false" => Ok(Base::Bool(false)),
        "nil" => Ok(Base::Nil),
        name if function::NAMES.contains(&name) => Ok(Base::Function(word)),
        name => {
            let hint = options::hint(name, function::NAMES.iter().copied());
            Err(TemplateError::at(place, format!("there is no function {name}{hint}")))
        }
    }
}

fn starts_operand(kind: &TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Dot
            | TokenKind::Field(_)
            | TokenKind::Variable(_)
            | TokenKind::Text(_)
            | TokenKind::Integer(_)
            | TokenKind::Float(_)
            | TokenKind::Open
            | TokenKind::Word(_)
    )
}

fn shown(token: &Token) -> String {
    match &token.kind {
        TokenKind::Field(name) => format!(".{name}"),
        TokenKind::Variable(name) | TokenKind::Word(name) => name.clone(),
        TokenKind::Text(text) => format!("{text:?}"),
        TokenKind::Integer(number) => number.to_string(),
        TokenKind::Float(number) => number.to_string(),
        TokenKind::Dot => ".".to_owned(),
        TokenKind::Pipe => "|".to_owned(),
        TokenKind::Open => "(".to_owned(),
        TokenKind::Close => ")".to_owned(),
        TokenKind::Declare => ":=".to_owned(),
        TokenKind::Assign => "=".to_owned(),
        TokenKind::Comma => ",".to_owned(),
    }
}
