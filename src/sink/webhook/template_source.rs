//! The template of a body, wherever it comes from.
//!
//! Invariant: a body is never made from anything but the configured template. Until it has been
//! had once there is no body; when it cannot be read again, the last one that was read stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::sink::{ConfigMaps, Outcome, SinkError};

use super::options::{BodySource, ConfigMapKey};
use super::template::{Escaping, Template};
use crate::sink::options::wrong;

/// How long a template that was read is used before it is read again.
const FRESH: Duration = Duration::from_secs(60);

/// Reads the template when it is needed.
pub(super) struct TemplateSource {
    place: BodySource,
    escaping: Escaping,
    config_maps: Option<Arc<dyn ConfigMaps>>,
    last: Option<Last>,
}

/// What was read last.
struct Last {
    text: String,
    /// Whether it can be used, or why not.
    template: Result<Template, String>,
    /// When it is read again.
    due: Option<Instant>,
}

impl TemplateSource {
    /// A template that stands in the configuration is read now, so that its mistakes show now.
    pub(super) fn new(
        place: BodySource,
        escaping: Escaping,
        config_maps: Option<Arc<dyn ConfigMaps>>,
    ) -> Result<Self, SinkError> {
        let mut source = Self { place, escaping, config_maps, last: None };
        if let BodySource::Text(text) = &source.place {
            let template = Template::compile(text, escaping)
                .map_err(|error| wrong("body", error.to_string()))?;
            source.last = Some(Last { text: String::new(), template: Ok(template), due: None });
        }
        Ok(source)
    }

    /// The template, or a hold with the reason why there is none.
    pub(super) async fn get(&mut self) -> Result<&Template, Outcome> {
        let now = Instant::now();
        let usable = |last: &Last| last.template.is_ok() && last.due.is_none_or(|due| now < due);
        if !self.last.as_ref().is_some_and(usable) {
            self.refresh(now).await?;
        }
        match &self.last {
            Some(Last { template: Ok(template), .. }) => Ok(template),
            Some(Last { template: Err(cause), .. }) => Err(self.hold(cause)),
            None => Err(self.hold("it has not been read yet")),
        }
    }

    async fn refresh(&mut self, now: Instant) -> Result<(), Outcome> {
        let due = Some(now + FRESH);
        let read = self.read().await;
        let place = self.place_name();
        match (read, &mut self.last) {
            (Ok(text), Some(last)) if last.text == text => last.due = due,
            (Ok(text), last) => {
                let template =
                    Template::compile(&text, self.escaping).map_err(|error| error.to_string());
                *last = Some(Last { text, template, due });
            }
            (Err(cause), Some(last)) if last.template.is_ok() => {
                tracing::warn!(
                    template = %place,
                    %cause,
                    "the template of a body cannot be read again; the one read before is used"
                );
                last.due = due;
            }
            (Err(cause), _) => return Err(self.hold(&cause)),
        }
        Ok(())
    }

    async fn read(&self) -> Result<String, String> {
        match &self.place {
            BodySource::Text(text) => Ok(text.clone()),
            BodySource::File(path) => {
                tokio::fs::read_to_string(path).await.map_err(|error| error.to_string())
            }
            BodySource::ConfigMap(ConfigMapKey { namespace, name, key }) => match &self.config_maps
            {
                Some(config_maps) => config_maps.text(namespace, name, key).await,
                None => Err("there is no cluster to read it from".to_owned()),
            },
        }
    }

    fn place_name(&self) -> String {
        match &self.place {
            BodySource::Text(_) => "in the configuration".to_owned(),
            BodySource::File(path) => format!("file {}", path.display()),
            BodySource::ConfigMap(ConfigMapKey { namespace, name, key }) => {
                format!("ConfigMap {namespace}/{name}, key {key}")
            }
        }
    }

    fn hold(&self, cause: &str) -> Outcome {
        Outcome::Hold {
            cause: format!(
                "the template of the body ({}) cannot be used: {cause}",
                self.place_name()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::sync::Mutex;

    struct Answers(Mutex<Vec<Result<&'static str, &'static str>>>);

    #[async_trait]
    impl ConfigMaps for Answers {
        async fn text(&self, namespace: &str, name: &str, key: &str) -> Result<String, String> {
            assert_eq!((namespace, name, key), ("ops", "body", "content"));
            let answer = self.0.lock().expect("not poisoned").remove(0);
            answer.map(str::to_owned).map_err(str::to_owned)
        }
    }

    fn source(answers: Vec<Result<&'static str, &'static str>>) -> TemplateSource {
        let place = serde_json::from_str(r#"{"configMap":{"namespace":"ops","name":"body"}}"#);
        let config_maps = Arc::new(Answers(Mutex::new(answers)));
        TemplateSource::new(place.expect("a place"), Escaping::Json, Some(config_maps))
            .expect("a source")
    }

    /// The body for an empty event, or the cause of the hold.
    async fn body(source: &mut TemplateSource) -> String {
        match source.get().await {
            Ok(template) => {
                let event = serde_json::Value::Null;
                template.render(&event, &jiff::tz::TimeZone::UTC).expect("a body").text
            }
            Err(Outcome::Hold { cause }) => cause,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn is_read_when_needed_and_again_after_a_minute() {
        let mut source = source(vec![Err("not found"), Ok("one"), Ok("two")]);
        let cause = body(&mut source).await;
        assert!(cause.contains("ConfigMap ops/body, key content") && cause.contains("not found"));
        assert_eq!(body(&mut source).await, "one");
        assert_eq!(body(&mut source).await, "one");
        tokio::time::advance(FRESH).await;
        assert_eq!(body(&mut source).await, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_keeps_what_was_read_and_a_mistake_holds() {
        let mut source = source(vec![Ok("one"), Err("timeout"), Ok("{{ .Nope }}"), Ok("two")]);
        assert_eq!(body(&mut source).await, "one");
        tokio::time::advance(FRESH).await;
        assert_eq!(body(&mut source).await, "one");
        tokio::time::advance(FRESH).await;
        let cause = body(&mut source).await;
        assert!(cause.contains("template line 1, {{ .Nope }}"), "{cause}");
        assert_eq!(body(&mut source).await, "two");
    }

    #[test]
    fn a_mistake_in_the_configuration_shows_at_once() {
        let place = BodySource::Text("{{ .Nope }}".to_owned());
        let error = TemplateSource::new(place, Escaping::Json, None).err().expect("a mistake");
        assert!(error.to_string().starts_with("option body: template line 1"), "{error}");
    }
}
