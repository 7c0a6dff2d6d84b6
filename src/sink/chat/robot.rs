//! A robot that is nothing but a URL: its options, and what a sink needs of them.

use reqwest::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::{TemplateSource, Templates};
use super::{Look, check_labels};
use crate::event::render::Markup;
use crate::sink::target::Target;
use crate::sink::{SinkContext, SinkError};

/// `options` of a sink of kind `wecom-robot`, `slack` or `teams`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// Its URL, which is all that it is known by.
    url: Target,
    /// Lines above every message, such as the name of the cluster.
    #[serde(default)]
    labels: Vec<String>,
    /// A message about one event, as its readers want it.
    #[serde(default)]
    template: Option<TemplateSource>,
    /// The same about many.
    #[serde(default)]
    digest_template: Option<TemplateSource>,
}

/// A robot, ready to be asked.
pub(super) struct Robot {
    pub(super) url: Target,
    pub(super) client: Client,
    pub(super) look: Look,
    pub(super) templates: Templates,
}

impl Robot {
    pub(super) fn new(
        options: Options,
        context: &SinkContext,
        markup: Markup,
    ) -> Result<Self, SinkError> {
        let look = Look::new(&options.labels, markup);
        let [one, many] = [&options.template, &options.digest_template];
        let templates = Templates::new(one.as_ref(), many.as_ref(), &look)?;
        options.url.check("url")?;
        check_labels(&options.labels)?;
        Ok(Self { url: options.url, client: context.http.clone(), look, templates })
    }
}
