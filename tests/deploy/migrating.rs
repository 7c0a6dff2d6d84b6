//! The page for users of kube-eventer: its manifests are accepted as they stand there, the new pod within the restricted
//! Pod Security Standard, and the command stays as it was, but for a flag more.

use http::StatusCode;
use rig::Cluster;
use serde_json::{Value, json};

use crate::harness::program;
use crate::rendering::{objects, pod, repository, restricted};

const ENGLISH: &str = "docs/migrating-from-kube-eventer.md";
const CHINESE: &str = "docs/migrating-from-kube-eventer.zh-CN.md";

/// What the new command has beside the old one: no event is lost between the two.
const NEW_FLAG: &str = "--start=10m";

const RESTRICTED: &str = "restricted";

/// A page's blocks of YAML.
fn blocks(page: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository(page)).expect(page);
    let blocks =
        text.split("```yaml\n").skip(1).map(|block| block.split("```").next().expect("a block"));
    blocks.flat_map(objects).collect()
}

/// The manifests before and after, and what is added to the second for the keys of a managed cluster.
fn manifests() -> [Value; 3] {
    let english = blocks(ENGLISH);
    assert_eq!(english, blocks(CHINESE), "both languages say the same");
    english.try_into().expect("three blocks")
}

/// Of each line of a page what it is, but for lines that only go on: headings, items, rows, blocks.
fn shape(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(page)).expect(page);
    let words = text.lines().filter_map(|line| line.split(' ').next());
    let is_mark =
        |word: &&str| ["##", "###", "*", "|", "```yaml"].contains(word) || is_number(word);
    words.filter(is_mark).map(str::to_owned).collect()
}

fn is_number(word: &str) -> bool {
    word.strip_suffix('.').is_some_and(|digits| digits.parse::<u8>().is_ok())
}

#[test]
fn both_languages_have_the_same_sections_items_and_rows() {
    assert_eq!(shape(ENGLISH), shape(CHINESE));
}

fn template(manifest: &Value) -> &Value {
    &manifest["spec"]["template"]["spec"]
}

fn container(manifest: &Value) -> &Value {
    &template(manifest)["containers"][0]
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

/// The pod of a manifest in the namespace that is restricted.
fn restricted_pod(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    manifest["metadata"]["namespace"] = json!(RESTRICTED);
    let spec = &mut manifest["spec"]["template"]["spec"];
    if spec.get("volumes").is_none() {
        spec["volumes"] = json!([]);
    }
    pod(&manifest, "kube-eventer-0")
}

/// The manifest with the volume and the mount of the other one, as `kubectl patch` makes it.
fn with_volumes_of(manifest: &Value, addition: &Value) -> Value {
    let mut whole = manifest.clone();
    let spec = &mut whole["spec"]["template"]["spec"];
    spec["volumes"] = template(addition)["volumes"].clone();
    let mounts = container(addition)["volumeMounts"].as_array().expect("mounts");
    let all = spec["containers"][0]["volumeMounts"].as_array_mut().expect("mounts");
    all.extend(mounts.iter().cloned());
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_are_accepted_and_the_new_pod_is_restricted() {
    let [before, after, keys] = manifests();
    let with_keys = with_volumes_of(&after, &keys);
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for manifest in [&before, &after, &with_keys] {
        client.apply(manifest, true).await;
    }
    client.apply(&restricted(RESTRICTED), false).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": template(&after)["serviceAccountName"], "namespace": RESTRICTED}});
    client.apply(&account, false).await;
    for manifest in [&after, &with_keys] {
        client.apply(&restricted_pod(manifest), true).await;
    }
    // The page says so, and the standard is in force here.
    let answer = client.try_apply(&restricted_pod(&before), true).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
}

#[test]
fn the_command_stays_and_is_understood() {
    let [before, after, _] = manifests();
    let (before, after) = (container(&before), container(&after));
    for unchanged in ["env", "name"] {
        assert_eq!(before[unchanged], after[unchanged]);
    }
    let command = texts(&after["command"]);
    assert_eq!(command, [texts(&before["command"]), vec![NEW_FLAG]].concat());
    let checked = program(&[&["config", "convert", "--"], &command[1..]].concat());
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    // The probes ask where the program listens, and the volume is where it writes.
    let config: Value = serde_saphyr::from_str(&checked.stdout).expect("YAML");
    let listen = config["admin"]["listen"].as_str().expect("an address");
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        let port = &after[probe]["httpGet"]["port"];
        assert!(listen.ends_with(&format!(":{port}")), "{probe}: {port} is not that of {listen}");
    }
    assert_eq!(after["volumeMounts"][0]["mountPath"], config["log"]["dataDir"]);
}

/// What an operator of the base gets, whoever comes from kube-eventer gets as well.
#[test]
fn the_pod_is_made_like_the_one_of_the_base() {
    let [_, after, keys] = manifests();
    let base = std::fs::read_to_string(repository("deploy/kustomize/base/statefulset.yaml"));
    let base: Value = serde_saphyr::from_str(&base.expect("the base")).expect("YAML");
    for field in ["replicas", "podManagementPolicy"] {
        assert_eq!(after["spec"][field], base["spec"][field], "{field}");
    }
    for field in ["securityContext", "terminationGracePeriodSeconds"] {
        assert_eq!(template(&after)[field], template(&base)[field], "{field}");
    }
    for field in ["securityContext", "resources"] {
        assert_eq!(container(&after)[field], container(&base)[field], "{field}");
    }
    let claim = |set: &Value| set["spec"]["volumeClaimTemplates"][0]["spec"].clone();
    assert_eq!(claim(&after), claim(&base));
    // Where both sinks look for keys, without subPath: such a file would never change.
    let mount = &container(&keys)["volumeMounts"][0];
    let path = &template(&keys)["volumes"][0]["secret"]["items"][0]["path"];
    let path = format!("{}/{}", mount["mountPath"], path).replace('"', "");
    assert_eq!((path.as_str(), mount.get("subPath")), ("/var/addon/token-config", None));
}
