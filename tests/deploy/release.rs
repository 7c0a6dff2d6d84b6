//! What a release is made of: one version everywhere, and workflows that are sound.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::rendering::{helm, kustomize, only, output, repository};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).expect(path)
}

#[test]
fn the_version_is_the_same_everywhere() {
    let chart: Value =
        serde_saphyr::from_str(&read("deploy/helm/kube-event-relay/Chart.yaml")).expect("YAML");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&VERSION.into(), &VERSION.into()));
    let image = format!("kube-event-relay:{VERSION}");
    for objects in [kustomize("base"), helm("kube-event-relay", &[])] {
        let container = &only(&objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image.as_str());
    }
    for document in [
        "docs/operators-guide.md",
        "docs/operators-guide.zh-CN.md",
        "docs/migrating-from-kube-eventer.md",
        "docs/migrating-from-kube-eventer.zh-CN.md",
    ] {
        let named = read(document);
        assert!(named.contains(&image), "{document}");
        let versions = named.matches("kube-event-relay:").count();
        assert_eq!(named.matches(&image).count(), versions, "{document} names no other version");
    }
    let changelog = read("CHANGELOG.md");
    assert!(
        changelog.contains("\n## Unreleased\n") || changelog.contains(&format!("\n## {VERSION}"))
    );
}

/// A comment that sends its reader to a file of the repository is right.
#[test]
fn the_files_that_comments_name_are_there() {
    let named = regex::Regex::new(r"\b(?:deploy|docs|src|tests)/[\w/.-]+\.(?:md|rs|sh|yaml)\b")
        .expect("a pattern");
    let mut list = Command::new("git");
    list.args(["ls-files", "deploy", ".github"]).current_dir(repository(""));
    let mut found = 0;
    for file in output(&mut list).lines() {
        for path in named.find_iter(&read(file)) {
            assert!(repository(path.as_str()).exists(), "{file} names {}", path.as_str());
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}

/// Checked by their linter, and every script that they run is there.
#[test]
fn the_workflows_are_sound() {
    let workflows = ["test", "release"].map(|name| format!(".github/workflows/{name}.yaml"));
    let paths = workflows.each_ref().map(|path| repository(path));
    println!("{}", output(Command::new(rig::actionlint()).args(&paths)));
    let scripts = regex::Regex::new(r"\b(?:deploy|tests)/[a-z/-]+\.sh\b").expect("a pattern");
    let mut found = 0;
    for workflow in &workflows {
        for script in scripts.find_iter(&read(workflow)) {
            assert!(
                Path::new(&repository(script.as_str())).exists(),
                "{workflow}: {}",
                script.as_str()
            );
            found += 1;
        }
    }
    assert!(found >= 2, "the tests and the static build");
}

fn notes(version: &str, changelog: &Path) -> Output {
    let mut command = Command::new(repository("deploy/release-notes.sh"));
    command.arg(version).arg(changelog).output().expect("the script starts")
}

/// A release is announced with what the changelog says of it, and with no other version's news.
#[test]
fn the_notes_of_a_release_are_its_section_of_the_changelog() {
    let folder = tempfile::tempdir().expect("a folder");
    let changelog = folder.path().join("CHANGELOG.md");
    let text = "# Changelog\n\n## Unreleased\n\n- soon\n\n## 1.10.0 - 2026-11-30\n\n### Added\n\n- ten\n\n\
                ## 1.1.0\n\n- one\n\n## 1.0.0\n\n## 0.9.0\n\n- nine\n";
    std::fs::write(&changelog, text).expect("written");
    for (version, expected) in [("1.10.0", "\n### Added\n\n- ten\n"), ("1.1.0", "\n- one\n")] {
        let found = notes(version, &changelog);
        assert!(found.status.success(), "{version}: {found:?}");
        assert_eq!(String::from_utf8_lossy(&found.stdout), expected, "{version}");
    }
    for missing in ["1.0.0", "1.1", "1x1.0", "2.0.0"] {
        let found = notes(missing, &changelog);
        assert!(!found.status.success(), "{missing}: {found:?}");
        let said = String::from_utf8_lossy(&found.stderr).into_owned();
        assert!(said.contains(&format!("says nothing of {missing}")), "{said}");
    }
    let workflow = read(".github/workflows/release.yaml");
    let notes = workflow.find("deploy/release-notes.sh \"${GITHUB_REF_NAME#v}\" >notes.md");
    let release = workflow.find("gh release create").expect("a release");
    assert!(
        notes.is_some_and(|notes| notes < release) && workflow.contains("--notes-file notes.md")
    );
}

/// Both architectures of a release are tested before it.
#[test]
fn the_static_binary_is_tested_on_every_architecture() {
    let workflow = |name: &str| -> Value {
        serde_saphyr::from_str(&read(&format!(".github/workflows/{name}.yaml"))).expect("YAML")
    };
    let release = workflow("release");
    let built = release["jobs"]["build"]["strategy"]["matrix"]["include"].as_array();
    let built: Vec<_> = built.expect("machines").iter().map(|it| it["machine"].clone()).collect();
    let tested = &workflow("test")["jobs"]["static-binary"];
    assert_eq!(tested["strategy"]["matrix"]["machine"], Value::Array(built));
    assert_eq!(tested["runs-on"], "${{ matrix.machine }}");
}

/// What a build of the release is told for an architecture: stand-ins for the compiler and the machine say it.
fn page_size(architecture: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |path: &str| folder.path().join(path);
    for made in ["deploy", "programs"] {
        std::fs::create_dir(place(made)).expect("a folder");
    }
    let script = place("deploy/build-static.sh");
    std::fs::copy(repository("deploy/build-static.sh"), &script).expect("copied");
    let cargo = format!(
        "made=target/static/{architecture}-unknown-linux-gnu/dist; mkdir -p $made; \
         echo \"$JEMALLOC_SYS_WITH_LG_PAGE\" | tee $made/kube-event-relay >told"
    );
    for (name, does) in [("uname", format!("echo {architecture}")), ("cargo", cargo)] {
        let path = place("programs").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{does}\n")).expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("permitted");
    }
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", place("programs").display());
    output(Command::new(script).env("PATH", path).env_remove("JEMALLOC_SYS_WITH_LG_PAGE"));
    std::fs::read_to_string(place("told")).expect("cargo was called").trim().to_owned()
}

/// The allocator is built for the largest pages that kernels of an architecture have: with smaller ones it would abort
/// there.
#[test]
fn the_release_for_aarch64_runs_with_pages_of_64_kibibytes() {
    assert_eq!(page_size("aarch64"), "16");
    assert_eq!(page_size("x86_64"), "");
}

/// The chart as the release packs it renders like the one of the repository: its links were followed.
#[test]
fn the_packed_chart_is_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("chart.tgz");
    let mut pack = Command::new("tar");
    pack.args(["--create", "--gzip", "--dereference", "--directory"])
        .arg(repository("deploy/helm"));
    output(pack.arg("--file").arg(&archive).arg("kube-event-relay"));
    let flags = "monitoring.prometheusRule=true,monitoring.dashboard=true";
    let mut render = Command::new(rig::helm());
    render.args([
        "template",
        "kube-event-relay",
        "--namespace",
        "kube-event-relay",
        "--set",
        flags,
    ]);
    let rendered = crate::rendering::objects(&output(render.arg(&archive)));
    assert_eq!(rendered, helm("kube-event-relay", &["--set", flags]));
    let packing = pack
        .get_args()
        .take(3)
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        read(".github/workflows/release.yaml").contains(&format!("tar {packing}")),
        "as the workflow does"
    );
}
