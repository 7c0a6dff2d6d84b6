//! What users make of the overlays and components: changed as the comments in them say, they are what the chart renders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::comparison::assert_same;
use crate::documents::{GUIDE, blocks};
use crate::rendering::{NAMESPACE, helm, kustomize_at, only, output, repository};

/// The overlay of a user.
const MINE: &str = "overlays/mine";

/// A copy of `deploy/kustomize` to change.
struct Copied(TempDir);

impl Copied {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = repository("deploy/kustomize/.");
        output(Command::new("cp").arg("--recursive").arg(source).arg(folder.path()));
        Self(folder)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes the overlay of a user.
    fn add_overlay(&self, kustomization: &str) {
        let folder = self.path(MINE);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("kustomization.yaml"), kustomization).expect("written");
    }

    /// Rewrites one file.
    fn change(&self, path: &str, change: impl Fn(&str) -> String) {
        let path = self.path(path);
        fs::write(&path, change(&text(&path))).expect("written");
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

/// The namespace stands in the files that the comment names, and nowhere else.
#[test]
fn the_namespaced_overlay_is_for_any_namespace() {
    let copied = Copied::new();
    let overlay = "overlays/namespaced";
    let comment = text(&copied.path(&format!("{overlay}/kustomization.yaml")));
    for file in ["role.yaml", "relay/kustomization.yaml", "relay/relay.yaml"] {
        assert!(comment.contains(file), "{file} is named");
        copied.change(&format!("{overlay}/{file}"), |text| text.replace("shop", "orders"));
    }
    let kustomize = kustomize_at(&copied.path(overlay));
    assert_same("orders", kustomize, helm("orders", &["--set", "namespaces={orders}"]));
}

/// A relay may read further namespaces than its own.
#[test]
fn the_namespaced_overlay_is_for_several_namespaces() {
    let copied = Copied::new();
    copied.change("overlays/namespaced/relay/relay.yaml", |text| {
        text.replace("namespaces: [shop]", "namespaces: [shop, orders]")
    });
    // One more pair for `orders`; the subject stays where the relay is.
    copied.change("overlays/namespaced/role.yaml", |text| {
        let further = text.replace("\n  namespace: shop", "\n  namespace: orders");
        format!("{text}---\n{further}")
    });
    let kustomize = kustomize_at(&copied.path("overlays/namespaced"));
    assert_same("two", kustomize, helm("shop", &["--set", "namespaces={shop,orders}"]));
}

/// The component, as it is and for a ConfigMap of another name and namespace.
#[test]
fn the_template_component_gives_the_right_to_one_config_map() {
    for (namespace, name) in [(NAMESPACE, "template"), ("messages", "message")] {
        let copied = Copied::new();
        copied.add_overlay("resources: [../default]\ncomponents: [../../components/template]\n");
        copied.change("components/template/role.yaml", |text| {
            let of_objects = format!("\n  namespace: {namespace}");
            text.replace("template", name).replace("\n  namespace: kube-event-relay", &of_objects)
        });
        let mut kustomize = kustomize_at(&copied.path(MINE));
        kustomize.retain(|object| object["kind"] != "Namespace");
        let value = format!(
            "templateConfigMaps[0].namespace={namespace},templateConfigMaps[0].name={name}"
        );
        assert_same(name, kustomize, helm(NAMESPACE, &["--set", &value]));
    }
}

/// The alerts of both ways lead to where the guide is read, as the guide says how.
#[test]
fn runbooks_lead_to_where_the_guide_is_read() {
    let copied = Copied::new();
    let lines = blocks(GUIDE, "## Alerts", "yaml").remove(0);
    copied.add_overlay(&format!("resources: [../monitoring]\n{lines}"));
    let kustomize = kustomize_at(&copied.path(MINE));
    let base = "monitoring.runbookBase=https://git.example/kube-event-relay/";
    let helm = helm(NAMESPACE, &["--set", "monitoring.prometheusRule=true", "--set", base]);
    let rules = [kustomize, helm].map(|objects| only(&objects, "PrometheusRule")["spec"].clone());
    assert_eq!(rules[0], rules[1]);
    for alert in rules[0]["groups"][0]["rules"].as_array().expect("rules") {
        let runbook = alert["annotations"]["runbook_url"].as_str().expect("a text");
        let guide = format!("https://git.example/kube-event-relay/{GUIDE}#");
        assert!(runbook.starts_with(&guide), "{runbook}");
    }
}
