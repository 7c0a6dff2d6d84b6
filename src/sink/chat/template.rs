//! Messages as a person wants them: templates in the language of Jinja.
//!
//! Invariants:
//! 1. A template that cannot be read, or names what there is not, is refused at the start, with its line.
//! 2. No event can stop a sink by what it does to a template: then the message is the usual one.
//! 3. What comes from an event stands for itself, unless the template says `|safe`; what a terminal
//!    would obey never gets through.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Look, Message, Service};
use crate::event::render::{Digest, Group, Markup, Moment, Notice, cut, on_one_line, printable};
use crate::event::{EventObject, Generation, Header, Position, Record, ResourceVersion, StreamId};
use crate::sink::SinkError;
use crate::sink::options::{hint, wrong};

/// Where a template comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields, expecting = "write a text or {file: PATH}")]
pub(super) enum TemplateSource {
    /// It stands in the configuration.
    Text(String),
    /// It is in a file, which is read at the start.
    File {
        /// Its path.
        file: PathBuf,
    },
}

/// The templates of a sink.
#[derive(Debug)]
pub(super) struct Templates {
    single: Option<Template>,
    digest: Option<Template>,
    labels: Vec<String>,
    zone: TimeZone,
    /// Whether somebody was told that a template failed.
    warned: AtomicBool,
}

/// Work that one rendering may do, about an instruction or 64 bytes each: enough for a digest of a
/// thousand things, and over within a tenth of a second.
const FUEL: u64 = 250_000;

/// No service takes as much: what is above it need not be rendered to see that it does not fit.
const MESSAGE_LIMIT: usize = 64 * 1_024;

/// How times are shown.
const TIME: &str = "2006-01-02 15:04:05";

/// Names the one template of an environment, and the way in which its values are escaped.
const NAME: &str = "chat";

/// What the language itself names.
const FUNCTIONS: [&str; 4] = ["range", "dict", "namespace", "debug"];

/// What templates are tried with.
const SAMPLE: &[u8] = include_bytes!("sample.json");

/// The variable that is costly: it is read only for templates that name it.
const EVENT: &str = "event";

/// The message about one event: by the template, or else as the service writes it.
pub(super) fn single<S: Service>(service: &S, notice: &Notice, message_limit: usize) -> Message {
    match service.templates().single(notice, message_limit) {
        Some(text) => Message { text, ..service.single(notice, 0) },
        None => service.single(notice, message_limit),
    }
}

/// The message about many events: by the template, or else as the service writes it.
pub(super) fn digest<S: Service>(
    service: &S,
    digest: &Digest<'_>,
    message_limit: usize,
) -> Message {
    match service.templates().digest(digest, message_limit) {
        Some(text) => Message { text, ..service.digest(digest, 0) },
        None => service.digest(digest, message_limit),
    }
}

impl Templates {
    /// Reads the options `template` and `digestTemplate`, and tries them with events like those that come.
    pub(super) fn new(
        single: Option<&TemplateSource>,
        digest: Option<&TemplateSource>,
        look: &Look,
    ) -> Result<Self, SinkError> {
        let Look { labels, markup, zone } = look.clone();
        let read = |option: &str, source: Option<&TemplateSource>| {
            let template = source.map(|source| Template::read(source, markup)).transpose();
            template.map_err(|reason| wrong(option, reason))
        };
        let (single, digest) = (read("template", single)?, read("digestTemplate", digest)?);
        let mut templates = Self { single, digest, labels, zone, warned: AtomicBool::new(false) };
        let [one, other] = [sample(), Notice { name: "db-0".to_owned(), ..sample() }];
        let sample = [one, other];
        let one = templates.about_one(true, &sample[0], usize::MAX);
        let many = templates.about_many(&Digest::of(&sample), usize::MAX);
        for (option, template, values) in [
            ("template", &mut templates.single, one),
            ("digestTemplate", &mut templates.digest, many),
        ] {
            let tried = template.as_mut().map(|template| template.try_out(values)).transpose();
            tried.map_err(|reason| wrong(option, reason))?;
        }
        Ok(templates)
    }

    /// The text about one event with at most so many bytes of what it says, where there is a template
    /// that makes one.
    fn single(&self, notice: &Notice, message_limit: usize) -> Option<String> {
        let template = self.single.as_ref()?;
        self.or_warn(
            "template",
            template.render(self.about_one(template.names_event, notice, message_limit)),
        )
    }

    /// The same about many.
    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Option<String> {
        let template = self.digest.as_ref()?;
        self.or_warn("digestTemplate", template.render(self.about_many(digest, message_limit)))
    }

    fn or_warn(&self, option: &str, rendered: Result<String, String>) -> Option<String> {
        let reason = match rendered {
            Ok(text) => return Some(text),
            Err(reason) => reason,
        };
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(option, reason, "a template failed; the usual message is sent");
        } else {
            tracing::warn!(
                option,
                reason,
                "a template failed; the usual message is sent, now and whenever that happens again"
            );
        }
        None
    }

    fn about_one(&self, with_event: bool, notice: &Notice, message_limit: usize) -> Value {
        let event = with_event.then(|| EventObject::parse(&notice.body).into_value());
        Value::from(Serde(One {
            notice: About::of(notice, message_limit),
            event_name: &notice.event_name,
            event_namespace: &notice.event_namespace,
            node: &notice.node,
            component: &notice.component,
            count: notice.count,
            time: self.time(notice.seen),
            time_utc: notice.seen.to_string(),
            labels: &self.labels,
            event,
        }))
    }

    fn about_many(&self, digest: &Digest<'_>, message_limit: usize) -> Value {
        let groups: Vec<_> =
            digest.groups.iter().map(|group| self.about_group(group, message_limit)).collect();
        Value::from(Serde(Many {
            title: digest.title(),
            labels: &self.labels,
            records: groups.iter().map(|group| group.records).sum(),
            groups,
        }))
    }

    fn about_group<'a>(&self, group: &Group<'a>, message_limit: usize) -> Several<'a> {
        Several {
            newest: About::of(group.newest, message_limit),
            records: group.records,
            first: self.time(group.first),
            last: self.time(group.last),
        }
    }

    fn time(&self, at: Timestamp) -> String {
        Moment::new(Some(at), &self.zone).format(TIME)
    }
}

/// What every message says of a thing.
#[derive(Serialize)]
struct About<'a> {
    level: &'a str,
    reason: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    object: String,
    message: String,
}

/// Variables of a message about one event.
#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    notice: About<'a>,
    event_name: &'a str,
    event_namespace: &'a str,
    node: &'a str,
    component: &'a str,
    count: u64,
    time: String,
    time_utc: String,
    labels: &'a [String],
    event: Option<serde_json::Value>,
}

/// Variables of a message about many.
#[derive(Serialize)]
struct Many<'a> {
    title: String,
    labels: &'a [String],
    records: u64,
    groups: Vec<Several<'a>>,
}

/// Records about the same thing.
#[derive(Serialize)]
struct Several<'a> {
    #[serde(flatten)]
    newest: About<'a>,
    records: u64,
    first: String,
    last: String,
}

impl<'a> About<'a> {
    fn of(notice: &'a Notice, message_limit: usize) -> Self {
        let Notice { level, reason, kind, namespace, name, message, .. } = notice;
        let message = cut(message.trim(), message_limit.min(MESSAGE_LIMIT)).into_owned();
        Self { level, reason, kind, namespace, name, object: notice.object(), message }
    }
}

/// One template.
#[derive(Debug)]
struct Template {
    environment: Environment<'static>,
    /// The file it was read from.
    file: Option<PathBuf>,
    names_event: bool,
}

impl Template {
    fn read(source: &TemplateSource, markup: Markup) -> Result<Self, String> {
        let (text, file) = match source {
            TemplateSource::Text(text) => (text.clone(), None),
            TemplateSource::File { file } => {
                let read = std::fs::read_to_string(file);
                let text = read.map_err(|error| format!("cannot read {}: {error}", file.display()));
                (text?, Some(file.clone()))
            }
        };
        let mut template = Self { environment: environment(markup), file, names_event: false };
        let added = template.environment.add_template_owned(NAME, text);
        added.map_err(|error| template.explain(&error))?;
        template.names_event = template.names().iter().any(|name| name == EVENT);
        Ok(template)
    }

    /// Names that it takes from outside, in order.
    fn names(&self) -> Vec<String> {
        let names =
            self.environment.get_template(NAME).map(|read| read.undeclared_variables(false));
        let mut names: Vec<_> = names.unwrap_or_default().into_iter().collect();
        names.sort();
        names
    }

    /// Renders it with values that lack nothing: what it names has to be there. From then on, what an
    /// event lacks is nothing.
    fn try_out(&mut self, values: Value) -> Result<(), String> {
        let known: Vec<_> = values.try_iter().into_iter().flatten().collect();
        let known: Vec<_> = known.iter().filter_map(Value::as_str).collect();
        let is_known = |name: &str| known.contains(&name) || FUNCTIONS.contains(&name);
        if let Some(unknown) = self.names().iter().find(|name| !is_known(name)) {
            let (hint, known) = (hint(unknown, known.iter().copied()), known.join(", "));
            let reason = format!("there is no variable `{unknown}`{hint}; variables: {known}");
            return Err(self.place(self.line_of(unknown), &reason));
        }
        self.render(values)?;
        self.environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        self.environment.set_debug(false);
        Ok(())
    }

    fn render(&self, values: Value) -> Result<String, String> {
        let template = self.environment.get_template(NAME);
        let text = template.and_then(|template| template.render(values));
        let text = text.map_err(|error| self.explain(&error))?;
        match printable(text.trim()) {
            text if text.is_empty() => Err(self.place(None, "it makes no text")),
            text => Ok(text.into_owned()),
        }
    }

    fn explain(&self, error: &Error) -> String {
        let what = match error.detail() {
            Some(detail) => format!("{}: {}", error.kind(), on_one_line(detail)),
            None => error.kind().to_string(),
        };
        self.place(error.line(), &what)
    }

    fn place(&self, line: Option<usize>, what: &str) -> String {
        let line = line.map(|line| format!("line {line}"));
        let file = self.file.as_ref().map(|file| file.display().to_string());
        let place: Vec<_> = file.into_iter().chain(line).collect();
        if place.is_empty() { what.to_owned() } else { format!("{}: {what}", place.join(", ")) }
    }

    /// The line where a name is taken from outside first, as far as that can be seen.
    fn line_of(&self, name: &str) -> Option<usize> {
        let template = self.environment.get_template(NAME).ok()?;
        let text = template.source();
        let is_part = |character: char| character.is_alphanumeric() || "_.".contains(character);
        let found = text.match_indices(name).find(|(at, _)| {
            let (before, after) = (&text[..*at], &text[at + name.len()..]);
            let opened = before.rfind("{{").max(before.rfind("{%"));
            let inside = opened.is_some() && opened > before.rfind("}}").max(before.rfind("%}"));
            let whole = !before.ends_with(is_part)
                && !after.starts_with(|next: char| next.is_alphanumeric() || next == '_');
            inside && whole
        });
        found.map(|(at, _)| text[..at].matches('\n').count() + 1)
    }
}

/// The language, with the marks of a service for whatever a template inserts.
fn environment(markup: Markup) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Custom(NAME.into()));
    environment.set_formatter(move |output, state, value| insert(&markup, output, state, value));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    // A line that holds a tag alone leaves no line.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment
}

/// Writes what stands in `{{ … }}`.
fn insert(
    markup: &Markup,
    output: &mut Output<'_>,
    state: &State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    let text = value.to_string();
    let stands_for_itself = value.is_safe() || matches!(state.auto_escape(), AutoEscape::None);
    output.write_str(&if stands_for_itself { text } else { markup.text(&text) })?;
    Ok(())
}

/// An event with everything that events have.
fn sample() -> Notice {
    Notice::of(&Record {
        stream: StreamId::all_namespaces(),
        position: Position::new(Generation(0), ResourceVersion::first()),
        received_at: Timestamp::UNIX_EPOCH,
        header: Header::default(),
        body: Bytes::from_static(SAMPLE),
    })
}

#[cfg(test)]
mod tests;
