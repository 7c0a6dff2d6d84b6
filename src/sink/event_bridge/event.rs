//! A record as kube-eventer's `CloudEvent` for `EventBridge` (`sinks/eventbridge`).

use serde_json::{Value, json};

use crate::event::Record;
use crate::event::render::Notice;

/// Where events come from and go to.
#[derive(Debug, Clone)]
pub(super) struct Address<'a> {
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) cluster_id: &'a str,
    pub(super) bus: &'a str,
}

/// The event of a record. Its id is the identity of the record, where kube-eventer's is a new one for each
/// attempt, so that a rule can recognise what was delivered twice.
pub(super) fn event(record: &Record, address: &Address<'_>, cluster: &str) -> Value {
    let object = record.event();
    let kind = object.text("/involvedObject/kind");
    let name = if kind.is_empty() {
        "cs:k8s:UnknownTypeEvent".to_owned()
    } else {
        format!("cs:k8s:{kind}RelatedEvent")
    };
    let at = Notice::of(record).at;
    json!({
        "id": record.id(cluster).to_string(),
        "source": "acs.cs",
        "specversion": "1.0",
        "type": name,
        "datacontenttype": "application/json",
        "subject": subject(record, address),
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "aliyuneventbusname": address.bus,
        "data": object.into_value(),
    })
}

/// The object as a resource of the account.
fn subject(record: &Record, address: &Address<'_>) -> String {
    let object = record.event();
    let text = |key: &str| object.text(&format!("/involvedObject/{key}")).to_owned();
    let mut version = text("apiVersion");
    // A group without a version.
    if version.contains('.') && !version.contains('/') {
        version.push_str("/versionUnknown");
    }
    let Address { region, account, cluster_id, .. } = address;
    format!(
        "acs:cs:{region}:{account}:{cluster_id}/apis/{version}/namespaces/{}/{}/{}",
        text("namespace"),
        plural(&text("kind")),
        text("name"),
    )
}

/// The resource of a kind, as Kubernetes guesses it.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.chars().last() {
        None => kind,
        _ if kind == "endpoints" => kind,
        Some('s') => format!("{kind}es"),
        Some('y') => format!("{}ies", &kind[..kind.len() - 1]),
        Some(_) => format!("{kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    #[test]
    fn an_event_is_that_of_kube_eventer() {
        let body = r#"{"metadata":{"uid":"u-1"},"involvedObject":{"kind":"Pod","namespace":"shop",
            "name":"web","apiVersion":"v1"},"lastTimestamp":"2024-05-01T02:00:00Z"}"#;
        let address =
            Address { region: "cn-hangzhou", account: "42", cluster_id: "c1", bus: "default" };
        let record = record("7", body);
        let event = event(&record, &address, "prod");
        assert_eq!(event["id"], record.id("prod").to_string());
        assert_eq!(event["type"], "cs:k8s:PodRelatedEvent");
        assert_eq!(event["time"], "2024-05-01T02:00:00Z");
        assert_eq!(event["subject"], "acs:cs:cn-hangzhou:42:c1/apis/v1/namespaces/shop/pods/web");
        assert_eq!(event["data"]["involvedObject"]["name"], "web");
    }

    #[test]
    fn kinds_have_the_plurals_of_kubernetes() {
        for (kind, expected) in [
            ("Pod", "pods"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Endpoints", "endpoints"),
            ("", ""),
        ] {
            assert_eq!(plural(kind), expected);
        }
    }
}
