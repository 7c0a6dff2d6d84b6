//! What users make of the overlays and components: changed as the comments in them say, they are what the chart renders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::comparison::assert_same;
use crate::rendering::{helm, kustomize_at, output, repository};

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
