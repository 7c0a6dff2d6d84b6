//! The body as it grows.
//!
//! Invariant: what an action prints inside a text of a JSON body never ends that text.

/// Whether the output of actions is escaped for JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escaping {
    /// When the body begins like a JSON object or array.
    Json,
    /// Never: the body is of another type.
    None,
}

/// A finished body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// Its text.
    pub(crate) text: String,
    /// Whether it began like JSON.
    pub(crate) is_json: bool,
}

/// More than any service takes; far more than the largest event needs.
const LONGEST: usize = 32 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    /// Only white space so far.
    Open,
    Json,
    Plain,
}

pub(super) struct Output {
    text: String,
    language: Language,
    /// Between two quotation marks of JSON.
    in_text: bool,
    /// Behind a backslash within such a text.
    after_backslash: bool,
}

/// The body got longer than any service takes.
#[derive(Debug)]
pub(super) struct TooLong;

impl Output {
    pub(super) fn new(escaping: Escaping) -> Self {
        let language = if escaping == Escaping::Json { Language::Open } else { Language::Plain };
        Self { text: String::new(), language, in_text: false, after_backslash: false }
    }

    /// Text of the template.
    pub(super) fn literal(&mut self, text: &str) -> Result<(), TooLong> {
        if self.language == Language::Open {
            let first = text.trim_start().chars().next();
            self.language = match first {
                None => Language::Open,
                Some('{' | '[') => Language::Json,
                Some(_) => Language::Plain,
            };
        }
        self.append(text)
    }

    /// Output of an action. `is_script_text`: it is escaped for a JavaScript text already.
    pub(super) fn value(&mut self, text: &str, is_script_text: bool) -> Result<(), TooLong> {
        if self.language == Language::Open && !text.is_empty() {
            self.language = Language::Plain;
        }
        if self.in_text && !is_script_text {
            let quoted = serde_json::Value::from(text).to_string();
            self.after_backslash = false;
            return self.push(&quoted[1..quoted.len() - 1]);
        }
        self.append(text)
    }

    pub(super) fn finish(self) -> Rendered {
        Rendered { text: self.text, is_json: self.language == Language::Json }
    }

    fn append(&mut self, text: &str) -> Result<(), TooLong> {
        if self.language == Language::Json {
            for byte in text.bytes() {
                match byte {
                    _ if self.after_backslash => self.after_backslash = false,
                    b'\\' if self.in_text => self.after_backslash = true,
                    b'"' => self.in_text = !self.in_text,
                    _ => {}
                }
            }
        }
        self.push(text)
    }

    fn push(&mut self, text: &str) -> Result<(), TooLong> {
        if self.text.len() + text.len() > LONGEST {
            return Err(TooLong);
        }
        self.text.push_str(text);
        Ok(())
    }
}
