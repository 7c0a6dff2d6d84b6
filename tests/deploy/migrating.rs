//! The page for users of kube-eventer: its manifests are accepted as they stand there, and nothing changes in the
//! command.

use rig::Cluster;
use serde_json::Value;

use crate::harness::program;
use crate::rendering::{objects, repository};

/// The manifests of a page: before and after.
fn manifests(page: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository(page)).expect(page);
    let blocks =
        text.split("```yaml\n").skip(1).map(|block| block.split("```").next().expect("a block"));
    let manifests: Vec<_> =
        blocks.flat_map(objects).filter(|object| object.get("kind").is_some()).collect();
    assert_eq!(manifests.len(), 2, "{page}: before and after");
    manifests
}

fn container(manifest: &Value) -> &Value {
    &manifest["spec"]["template"]["spec"]["containers"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn both_manifests_are_accepted_and_the_command_stays() {
    let english = manifests("docs/migrating-from-kube-eventer.md");
    assert_eq!(
        english,
        manifests("docs/migrating-from-kube-eventer.zh-CN.md"),
        "both languages say the same"
    );
    let cluster = Cluster::start().await;
    for manifest in &english {
        cluster.client().apply(manifest, true).await;
    }
    let (before, after) = (container(&english[0]), container(&english[1]));
    for unchanged in ["command", "env", "name"] {
        assert_eq!(before[unchanged], after[unchanged]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!("--data-dir={}", folder.path().display());
    let flags = after["command"].as_array().expect("a command").iter().skip(1);
    let mut check = vec!["config", "check", "--"];
    check.extend(flags.map(|flag| flag.as_str().expect("a text")));
    check.push(&data);
    let checked = program(&check);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
