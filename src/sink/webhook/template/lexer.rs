//! Text and actions of a template, and the tokens of an action.

use super::TemplateError;
use super::node::Place;

/// Longest part of an action that a message shows, in characters.
const SHOWN: usize = 60;

/// Text, or an action.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Action(Place, Vec<Token>),
}

/// A token, and whether white space stands in front of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) spaced: bool,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// `.Name`.
    Field(String),
    /// `.` alone.
    Dot,
    /// `$name`, or `$` alone.
    Variable(String),
    /// A function or keyword.
    Word(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Pipe,
    Open,
    Close,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
    Comma,
}

/// Takes a template apart. White space beside `{{- ` and ` -}}` is gone.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trims_next = false;
    while let Some(open) = template[at..].find("{{").map(|offset| at + offset) {
        let inside = &template[open + 2..];
        let trims = inside.starts_with('-') && inside[1..].starts_with(is_space);
        push_text(&mut pieces, &template[at..open], trims_next, trims);
        let mut action = Action { template, open, at: open + 2 + usize::from(trims) };
        let (tokens, trims_after) = action.read()?;
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action(action.place(), tokens));
        }
        trims_next = trims_after;
        at = action.at;
    }
    push_text(&mut pieces, &template[at..], trims_next, false);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start_matches(is_space) } else { text };
    let text = if trim_end { text.trim_end_matches(is_space) } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Reads one action.
struct Action<'t> {
    template: &'t str,
    /// Where its `{{` stands.
    open: usize,
    /// Where the next token may begin; after the action, where its text ends.
    at: usize,
}

impl Action<'_> {
    /// The tokens, unless it is a comment, and whether it trims the text behind it.
    fn read(&mut self) -> Result<(Option<Vec<Token>>, bool), TemplateError> {
        if self.rest().trim_start_matches(is_space).starts_with("/*") {
            let end =
                self.rest().find("*/").ok_or_else(|| self.error("the comment is not closed"))?;
            self.at += end + 2;
            let spaced = self.skip_space();
            let trims = self
                .closes(spaced)
                .ok_or_else(|| self.error("a comment is alone in its action"))?;
            return Ok((None, trims));
        }
        let mut tokens = Vec::new();
        loop {
            let spaced = self.skip_space();
            if let Some(trims) = self.closes(spaced) {
                return Ok((Some(tokens), trims));
            }
            let kind = self.token()?;
            tokens.push(Token { kind, spaced });
        }
    }

    fn rest(&self) -> &str {
        &self.template[self.at..]
    }

    fn skip_space(&mut self) -> bool {
        let rest = self.rest();
        let space = rest.len() - rest.trim_start_matches(is_space).len();
        self.at += space;
        space > 0
    }

    /// Steps over the end of the action when it is here, and says whether it trims.
    fn closes(&mut self, spaced: bool) -> Option<bool> {
        let trims = spaced && self.rest().starts_with("-}}");
        if trims || self.rest().starts_with("}}") {
            self.at += 2 + usize::from(trims);
            return Some(trims);
        }
        None
    }

    fn token(&mut self) -> Result<TokenKind, TemplateError> {
        let mut characters = self.rest().chars();
        let first = characters.next().ok_or_else(|| self.error("the action is not closed"))?;
        let second = characters.next().unwrap_or(' ');
        let kind = match first {
            '|' => self.step(1, TokenKind::Pipe),
            '(' => self.step(1, TokenKind::Open),
            ')' => self.step(1, TokenKind::Close),
            ',' => self.step(1, TokenKind::Comma),
            '=' => self.step(1, TokenKind::Assign),
            ':' if second == '=' => self.step(2, TokenKind::Declare),
            '"' | '\'' | '`' => return self.quoted(first),
            '.' if second.is_ascii_digit() => return self.number(),
            '.' if is_word(second) => {
                self.at += 1;
                TokenKind::Field(self.word())
            }
            '.' => self.step(1, TokenKind::Dot),
            '$' => {
                self.at += 1;
                TokenKind::Variable(format!("${}", self.word()))
            }
            '+' | '-' if second.is_ascii_digit() || second == '.' => return self.number(),
            '0'..='9' => return self.number(),
            _ if is_word(first) => TokenKind::Word(self.word()),
            _ => return Err(self.error(format!("{first:?} is not expected here"))),
        };
        Ok(kind)
    }

    fn step(&mut self, length: usize, kind: TokenKind) -> TokenKind {
        self.at += length;
        kind
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        word
    }

    fn number(&mut self) -> Result<TokenKind, TemplateError> {
        let rest = self.rest();
        let mut end = 1;
        for (at, character) in rest.char_indices().skip(1) {
            let exponent = matches!(character, '+' | '-')
                && rest[..at].ends_with(['e', 'E', 'p', 'P'])
                && !rest.starts_with("0x");
            if !(character == '.' || is_word(character) || exponent) {
                break;
            }
            end = at + character.len_utf8();
        }
        let text = rest[..end].replace('_', "");
        let kind = integer(&text)
            .map(TokenKind::Integer)
            .or_else(|| {
                text.parse().ok().filter(|float: &f64| float.is_finite()).map(TokenKind::Float)
            })
            .ok_or_else(|| self.error(format!("{text} is not a number")))?;
        self.at += end;
        Ok(kind)
    }

    /// A text in double quotes or backquotes, or a character in single quotes.
    fn quoted(&mut self, quote: char) -> Result<TokenKind, TemplateError> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find_map(|(at, character)| {
            let ends = character == quote && !escaped;
            escaped = character == '\\' && !escaped && quote != '`';
            ends.then_some(at)
        });
        let end = end.ok_or_else(|| self.error("a quotation mark is not closed"))?;
        let inside = &rest[1..end];
        let text = if quote == '`' {
            inside.replace('\r', "")
        } else {
            unescape(inside).ok_or_else(|| self.error("an escape in the text is not known"))?
        };
        self.at += end + 1;
        if quote != '\'' {
            return Ok(TokenKind::Text(text));
        }
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(only), None) => Ok(TokenKind::Integer(i64::from(u32::from(only)))),
            _ => Err(self.error("single quotes hold one character; write texts in double quotes")),
        }
    }

    fn place(&self) -> Place {
        let line = 1 + self.template[..self.open].matches('\n').count();
        let rest = &self.template[self.open..];
        // An action that does not end is shown to the end of its line.
        let end = if self.template[..self.at].ends_with("}}") {
            self.at - self.open
        } else {
            rest.find('\n').unwrap_or(rest.len())
        };
        let words = rest[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        let mut action: String = words.chars().take(SHOWN).collect();
        if action.len() < words.len() {
            action.push('…');
        }
        Place { line, action }
    }

    fn error(&self, reason: impl Into<String>) -> TemplateError {
        TemplateError::at(&self.place(), reason)
    }
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// Go's notations of whole numbers.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0o") => (&lower[2..], 8),
        Some("0b") => (&lower[2..], 2),
        Some(prefix) if prefix.starts_with('0') => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok()?.checked_mul(sign)
}

/// Resolves the escapes of a Go text.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let mut push = |character: char| {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        };
        if character != '\\' {
            push(character);
            continue;
        }
        let escape = characters.next()?;
        match escape {
            'a' => push('\x07'),
            'b' => push('\x08'),
            'f' => push('\x0c'),
            'n' => push('\n'),
            'r' => push('\r'),
            't' => push('\t'),
            'v' => push('\x0b'),
            '\\' | '\'' | '"' => push(escape),
            'x' | 'u' | 'U' | '0'..='7' => {
                let (length, radix) = match escape {
                    'x' => (2, 16),
                    'u' => (4, 16),
                    'U' => (8, 16),
                    _ => (2, 8),
                };
                let mut code = if radix == 8 { escape.to_digit(8)? } else { 0 };
                for _ in 0..length {
                    code = (code << (if radix == 8 { 3 } else { 4 }))
                        | characters.next()?.to_digit(radix)?;
                }
                if matches!(escape, 'u' | 'U') {
                    push(char::from_u32(code)?);
                } else {
                    bytes.push(u8::try_from(code).ok()?);
                }
            }
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
