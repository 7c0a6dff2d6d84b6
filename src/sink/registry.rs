//! Every kind of sink there is.

use serde_json::{Map, Value};

use super::{
    Batch, OptionDescription, Sink, SinkConfig, SinkContext, SinkError, chat, elasticsearch,
    event_bridge, honeycomb, influxdb, log, mysql, options, riemann, sls, webhook,
};
#[cfg(not(fuzzing))]
use super::{kafka, mongo};
use crate::event::Match;
use crate::setting::EventerUri;

/// Options of a sink as they stand in a configuration.
pub type Options = Map<String, Value>;

/// The constructor of a kind.
pub type Build = fn(&Options, &SinkContext) -> Result<Box<dyn Sink>, SinkError>;

/// A kind of sink.
pub struct Kind {
    /// Its name in configurations.
    pub name: &'static str,
    /// What it makes of records, and where, in a few words.
    pub about: &'static str,
    /// Other spellings kube-eventer users write.
    pub aliases: &'static [&'static str],
    /// Name of kube-eventer's sink of this kind in its metrics (`exporter` label).
    pub eventer_name: &'static str,
    /// Limits of a delivery unless configured; every field is set.
    pub batch: Batch,
    /// What can be configured, in the order of the documentation.
    pub options: fn() -> Vec<OptionDescription>,
    /// Builds a sink, or says which option is wrong. Never connects: a target that is down is
    /// a matter of delivery.
    pub build: Build,
    /// The same options with every literal secret replaced, or which option is wrong.
    pub redact: fn(&Options) -> Result<Options, SinkError>,
    /// Puts a `--sink` of kube-eventer into the words of a configuration. Pure.
    pub from_uri: fn(&EventerUri) -> Result<Translation, SinkError>,
}

/// A `--sink` of kube-eventer in the words of a configuration.
#[derive(Debug, Default)]
pub struct Translation {
    /// Options of the kind. Secrets are literal.
    pub options: Options,
    /// Records it wants.
    pub include: Match,
    /// Records it does not want although they match.
    pub exclude: Vec<Match>,
    /// What a person should know, one sentence each, without secrets.
    pub warnings: Vec<String>,
}

/// The option that gives a `--sink` its name. kube-eventer has no such option.
pub const NAME_OPTION: &str = "name";

/// All kinds, in the order of the documentation.
pub static KINDS: &[Kind] = &[
    log::KIND,
    webhook::KIND,
    chat::DINGTALK,
    chat::WECHAT,
    chat::WECOM_ROBOT,
    chat::FEISHU,
    chat::SLACK,
    chat::TEAMS,
    elasticsearch::KIND,
    mysql::KIND,
    #[cfg(not(fuzzing))]
    kafka::KIND,
    #[cfg(not(fuzzing))]
    mongo::KIND,
    influxdb::KIND,
    honeycomb::KIND,
    sls::KIND,
    riemann::KIND,
    event_bridge::KIND,
];

/// The kind with this name or alias.
pub fn find(name: &str) -> Result<&'static Kind, SinkError> {
    KINDS.iter().find(|kind| kind.name == name || kind.aliases.contains(&name)).ok_or_else(|| {
        let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        SinkError::UnknownKind {
            kind: name.to_owned(),
            hint: options::hint(name, known.iter().copied()),
            known: known.join(", "),
        }
    })
}

/// The configuration a `--sink` of kube-eventer stands for, and the warnings of its URI and kind.
///
/// The name is that of [`NAME_OPTION`], or else that of the kind.
pub fn translate(uri: &EventerUri) -> Result<(SinkConfig, Vec<String>), SinkError> {
    let kind = find(&uri.kind)?;
    let translation = (kind.from_uri)(uri)?;
    let name = uri.first(NAME_OPTION).filter(|name| !name.is_empty()).unwrap_or(kind.name);
    let config = SinkConfig {
        name: name.to_owned(),
        kind: kind.name.to_owned(),
        options: translation.options,
        include: translation.include,
        exclude: translation.exclude,
        batch: Batch::default(),
        retry: super::Retry::default(),
        rate: None,
        group: None,
        required: true,
    };
    let warnings = uri.warnings.iter().cloned().chain(translation.warnings).collect();
    Ok((config, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_aliases_are_unique() {
        let mut seen = HashSet::new();
        for kind in KINDS {
            for name in kind.aliases.iter().chain([&kind.name]) {
                assert!(seen.insert(*name), "{name} names two kinds");
            }
        }
    }

    #[test]
    fn every_kind_states_all_its_limits() {
        for kind in KINDS {
            let Batch { max_records, max_bytes, max_wait } = kind.batch;
            assert!(max_records.is_some_and(|count| count > 0), "{}", kind.name);
            assert!(max_bytes.is_some() && max_wait.is_some(), "{}", kind.name);
        }
    }

    #[test]
    fn every_kind_and_option_says_what_it_is_for() {
        let nameless = |kind: &Kind| {
            let options = (kind.options)().into_iter().filter(|option| option.about.is_empty());
            options.map(|option| format!("{}: {}", kind.name, option.name)).collect::<Vec<_>>()
        };
        let nameless: Vec<_> = KINDS.iter().flat_map(nameless).collect();
        assert!(nameless.is_empty(), "{nameless:?}");
        assert!(KINDS.iter().all(|kind| !kind.about.is_empty()));
    }

    #[test]
    fn an_unknown_kind_is_named_with_the_nearest_one() {
        let error = find("webhok").err().expect("no such kind").to_string();
        assert!(error.contains("did you mean `webhook`?"), "{error}");
        assert!(error.contains("log, webhook"), "{error}");
    }

    #[test]
    fn a_uri_becomes_a_named_configuration() {
        let translate = |text| {
            translate(&EventerUri::parse(text, &|_| None).expect("a valid URI")).expect("valid")
        };
        let (config, warnings) = translate("log");
        assert_eq!((config.name.as_str(), config.kind.as_str()), ("log", "log"));
        assert!(warnings.is_empty());
        let (config, warnings) = translate("log:?name=audit#x");
        assert_eq!(config.name, "audit");
        assert_eq!(warnings.len(), 1);
    }
}
