//! Which server answers, and what follows from its version.
//!
//! Sources: Elasticsearch, "Removal of mapping types" and "Data streams"; `OpenSearch`, "Index templates".

use serde::Deserialize;

/// The server's product and version, as far as requests depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    /// Elasticsearch of this major and minor version.
    Elasticsearch(u32, u32),
    /// `OpenSearch` of any version: it began as Elasticsearch 7.10.
    OpenSearch,
}

/// The one type kube-eventer writes, also to indexes that exist already.
const TYPE: &str = "events";

/// The answer to `GET /`.
#[derive(Deserialize)]
struct Banner {
    version: BannerVersion,
}

#[derive(Deserialize)]
struct BannerVersion {
    number: String,
    #[serde(default)]
    distribution: Option<String>,
}

impl Product {
    /// The one a person has configured. The last minor version has everything that matters here.
    pub(super) fn configured(major: u8) -> Self {
        Self::Elasticsearch(major.into(), u32::MAX)
    }

    /// Reads the answer to `GET /`, unless somebody else gave it.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let Banner { version } = serde_json::from_slice(body).ok()?;
        if version.distribution.as_deref() == Some("opensearch") {
            return Some(Self::OpenSearch);
        }
        let mut numbers = version.number.split(['.', '-']).map(|number| number.parse().ok());
        Some(Self::Elasticsearch(numbers.next()??, numbers.next()??))
    }

    /// The `_type` of documents: demanded before 7, refused from 8 on.
    pub(super) fn document_type(self) -> Option<&'static str> {
        matches!(self, Self::Elasticsearch(..=6, _)).then_some(TYPE)
    }

    /// Whether there are composable index templates (7.8) and data streams (7.9).
    pub(super) fn has_composable_templates(self) -> bool {
        match self {
            Self::Elasticsearch(major, minor) => (major, minor) >= (7, 9),
            Self::OpenSearch => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: &str) -> Option<Product> {
        Product::read(format!(r#"{{"name":"a","version":{version},"tagline":"x"}}"#).as_bytes())
    }

    #[test]
    fn every_product_has_its_dialect() {
        for (version, product, typed, composable) in [
            (r#"{"number":"6.8.23"}"#, Product::Elasticsearch(6, 8), true, false),
            (r#"{"number":"7.7.1"}"#, Product::Elasticsearch(7, 7), false, false),
            (r#"{"number":"7.17.29"}"#, Product::Elasticsearch(7, 17), false, true),
            (r#"{"number":"8.19.0"}"#, Product::Elasticsearch(8, 19), false, true),
            (r#"{"number":"9.2.0-SNAPSHOT"}"#, Product::Elasticsearch(9, 2), false, true),
            (
                r#"{"distribution":"opensearch","number":"1.3.20"}"#,
                Product::OpenSearch,
                false,
                true,
            ),
            (r#"{"distribution":"opensearch","number":"3.1.0"}"#, Product::OpenSearch, false, true),
        ] {
            let read = read(version).expect(version);
            assert_eq!(read, product);
            assert_eq!(read.document_type().is_some(), typed, "{version}");
            assert_eq!(read.has_composable_templates(), composable, "{version}");
        }
        assert_eq!(Product::configured(6).document_type(), Some("events"));
        assert!(Product::configured(7).has_composable_templates());
    }

    #[test]
    fn another_service_is_not_taken_for_one() {
        assert_eq!(read(r#"{"number":"x"}"#), None);
        assert_eq!(Product::read(b"<html>sign in</html>"), None);
        assert_eq!(Product::read(b"{}"), None);
    }
}
