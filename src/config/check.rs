//! What must hold of a configuration beyond its types. The same for both front ends.
//!
//! Pure but for one thing: every sink is built once and thrown away, which by contract connects to
//! nothing.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use super::{Config, eventer_source, secrets};
use crate::event::{Filter, Match};
use crate::log::LogConfig;
use crate::sink::{SinkConfig, SinkContext, SinkError, http_client, registry};

/// Something wrong at a place of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, from the top: `sinks`, `0`, `options`, `url`.
    pub path: Vec<Step>,
    /// What is wrong and what to do about it, on one line.
    pub message: String,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl Problem {
    /// Something wrong at `path`.
    pub(super) fn at(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self { path, message: message.into() }
    }

    /// The path as people write it: `sinks[0].options.url`.
    #[must_use]
    pub fn path_text(&self) -> String {
        let steps = self.path.iter().enumerate().map(|(depth, step)| match step {
            Step::Index(index) => format!("[{index}]"),
            Step::Key(key) if depth == 0 => key.clone(),
            Step::Key(key) => format!(".{key}"),
        });
        steps.collect()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path_text(), self.message)
    }
}

/// Longest name of a sink: it is a metric label and a key on disk.
const LONGEST_NAME: usize = 63;

/// Checks everything. `Ok` carries what is allowed but hardly meant.
pub(super) fn check(config: &Config) -> Result<Vec<String>, Problem> {
    if config.cluster.trim().is_empty() {
        return Err(Problem::at(
            vec!["cluster".into()],
            "a cluster needs a name; any text will do",
        ));
    }
    if config.log.max_bytes < LogConfig::MAX_BYTES_MIN {
        let message = "less than 64MiB cannot be kept to; write a size such as 2GiB";
        return Err(Problem::at(vec!["log".into(), "maxBytes".into()], message));
    }
    if config.dead_letters.max_records == 0 || config.dead_letters.max_bytes.0 < 64 << 10 {
        let message = "room for one letter and 64KiB is the least; write maxRecords: 10000 and maxBytes: 64MiB, \
                       for example";
        return Err(Problem::at(vec!["deadLetters".into()], message));
    }
    eventer_source::check(&config.source)?;
    let context =
        context(&config.cluster).map_err(|reason| Problem::at(vec!["sinks".into()], reason))?;
    let mut names = HashSet::new();
    for (index, sink) in config.sinks.iter().enumerate() {
        let problem = |(key, message): (Vec<Step>, String)| {
            let mut path = vec![Step::from("sinks"), Step::from(index)];
            path.extend(key);
            Problem::at(path, message)
        };
        check_name(sink, &mut names).map_err(problem)?;
        check_limits(sink).map_err(problem)?;
        check_filter(sink).map_err(problem)?;
        check_options(sink, &context).map_err(problem)?;
    }
    Ok(warnings(config))
}

/// What is wrong with a sink: the path inside it, and the message.
type SinkProblem = (Vec<Step>, String);

fn check_name<'a>(sink: &'a SinkConfig, names: &mut HashSet<&'a str>) -> Result<(), SinkProblem> {
    let name = sink.name.as_str();
    let refused = |message: String| Err((vec!["name".into()], message));
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        return refused(format!(
            "{name:?} cannot name a sink; use 1 to {LONGEST_NAME} letters, digits, '-', '_' and '.'"
        ));
    }
    if !names.insert(name) {
        return refused(format!("two sinks are named {name:?}; names must be unique"));
    }
    Ok(())
}

fn check_limits(sink: &SinkConfig) -> Result<(), SinkProblem> {
    let SinkConfig { batch, rate, retry, group, .. } = sink;
    let zeros = [
        ("batch", "maxRecords", batch.max_records == Some(0), "write at least 1"),
        (
            "batch",
            "maxBytes",
            batch.max_bytes.is_some_and(|size| size.0 == 0),
            "write a size such as 1MiB",
        ),
        ("rate", "messages", rate.is_some_and(|rate| rate.messages == 0), "write at least 1"),
        (
            "rate",
            "per",
            rate.is_some_and(|rate| rate.per.0.is_zero()),
            "write a duration such as 1m",
        ),
        (
            "group",
            "repeat",
            group.as_ref().is_some_and(|group| group.repeat.0.is_zero()),
            "write a duration such as 10m",
        ),
        ("retry", "initial", retry.initial.0.is_zero(), "write a duration such as 1s"),
        ("retry", "max", retry.max.0.is_zero(), "write a duration such as 1m"),
        ("retry", "timeout", retry.timeout.0.is_zero(), "write a duration such as 30s"),
    ];
    if let Some((section, key, _, remedy)) = zeros.iter().find(|(_, _, zero, _)| *zero) {
        let path = vec![Step::from(*section), Step::from(*key)];
        return Err((path, format!("{section}.{key} must not be 0; {remedy}")));
    }
    if retry.initial > retry.max {
        let message = format!(
            "retry.initial {} is longer than retry.max {}; lower the first or raise the second",
            retry.initial, retry.max
        );
        return Err((vec!["retry".into(), "initial".into()], message));
    }
    Ok(())
}

fn check_filter(sink: &SinkConfig) -> Result<(), SinkProblem> {
    let placed = |key: Vec<Step>, wanted: &Match| {
        Filter::new(wanted, &[]).map(drop).map_err(|error| {
            let mut path = key;
            path.extend(error.field.path().into_iter().map(Step::from));
            (path, error.to_string())
        })
    };
    placed(vec!["match".into()], &sink.include)?;
    sink.exclude
        .iter()
        .enumerate()
        .try_for_each(|(index, wanted)| placed(vec!["exclude".into(), index.into()], wanted))
}

/// Builds the sink and throws it away. That a secret is not at hand is not its mistake:
/// [`super::preflight`] reports that. What is found before the secret is needed is.
fn check_options(sink: &SinkConfig, context: &SinkContext) -> Result<(), SinkProblem> {
    let kind =
        registry::find(&sink.kind).map_err(|error| (vec!["kind".into()], error.to_string()))?;
    let built = secrets::missing_variables(sink).and_then(|missing| {
        match (kind.build)(&sink.options, context) {
            Err(SinkError::Option { option, .. }) if is_among(&option, &missing) => Ok(()),
            built => sink.check_group(built?.as_ref()),
        }
    });
    built.map_err(|error| match &error {
        SinkError::Group(_) => (vec!["group".into()], format!("sink {:?}: {error}", sink.name)),
        SinkError::Option { option, .. } => {
            let path = std::iter::once("options").chain(option.split('.')).map(Step::from);
            (path.collect(), format!("sink {:?}: {error}", sink.name))
        }
        _ => (vec!["kind".into()], format!("sink {:?}: {error}", sink.name)),
    })
}

fn is_among(option: &str, missing: &[secrets::Missing]) -> bool {
    missing.iter().any(|missing| missing.option.split('.').next() == option.split('.').next())
}

fn context(cluster: &str) -> Result<SinkContext, String> {
    // Nothing is ever sent with it, and reading the system's certificates for it takes milliseconds.
    static CLIENT: LazyLock<Result<reqwest::Client, String>> =
        LazyLock::new(|| http_client().map_err(|error| error.to_string()));
    Ok(SinkContext { cluster: Arc::from(cluster), http: CLIENT.clone()?, config_maps: None })
}

fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.sinks.is_empty() {
        warnings.push(format!(
            "no sinks are configured: events are kept in the log for {} and delivered nowhere",
            config.log.retain
        ));
    }
    warnings
}
