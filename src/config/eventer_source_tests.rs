//! kube-eventer's `--source`, option by option.

use super::*;

fn read(text: &str) -> Result<(KubernetesConfig, Vec<String>), String> {
    let uri = EventerUri::parse(text, &|_| None).map_err(|error| error.to_string())?;
    from_uri(&uri).map(|(source, warnings)| (source.kubernetes, warnings))
}

fn quiet(text: &str) -> KubernetesConfig {
    let (kubernetes, warnings) = read(text).expect(text);
    assert_eq!(warnings, Vec::<String>::new(), "{text}");
    kubernetes
}

#[test]
fn without_an_address_the_pod_decides() {
    for text in ["kubernetes", "kubernetes:", "kubernetes:''", "kubernetes:?inClusterConfig=true"] {
        let kubernetes = quiet(text);
        assert_eq!(kubernetes.in_cluster_config, Some(true), "{text}");
        assert_eq!(kubernetes.server, None, "{text}");
    }
}

#[test]
fn an_address_replaces_the_pods() {
    let kubernetes = quiet("kubernetes:https://kubernetes.default?insecure=T&useServiceAccount=1");
    assert_eq!(kubernetes.server.as_deref(), Some("https://kubernetes.default"));
    assert!(kubernetes.insecure && kubernetes.use_service_account);
}

#[test]
fn outside_the_cluster_a_kubeconfig_or_an_address_is_needed() {
    let local = quiet("kubernetes:?inClusterConfig=false&localKubeConfig=/k");
    assert_eq!(local.kubeconfig, Some(PathBuf::from("/k")));
    let auth = quiet("kubernetes:https://h:6443?inClusterConfig=0&auth=/a");
    assert_eq!(auth.auth, Some(PathBuf::from("/a")));
    let plain = quiet("kubernetes:http://h:8080?inClusterConfig=false");
    assert_eq!(plain.server.as_deref(), Some("http://h:8080"));
    let error = read("kubernetes:?inClusterConfig=false").expect_err("no address");
    assert!(error.contains("localKubeConfig=PATH"), "{error}");
}

#[test]
fn what_has_no_effect_is_a_warning() {
    for text in [
        "kubernetes:?localKubeConfig=/k",
        "kubernetes:https://h?inClusterConfig=false&localKubeConfig=/k",
        "kubernetes:https://h/path",
        "kubernetes:myhost:6443",
        "kubernetes:?inClusterconfig=false",
    ] {
        assert_eq!(read(text).expect(text).1.len(), 1, "{text}");
    }
}

#[test]
fn what_kube_eventer_refused_is_refused() {
    for (text, word) in [
        ("prometheus:http://h", "the only one is kubernetes"),
        ("kubernetes:?insecure=maybe", "write true or false"),
        ("kubernetes:?inClusterConfig=", "write true or false"),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config");
    let config = |path: &Path| SourceConfig {
        kubernetes: KubernetesConfig {
            kubeconfig: Some(path.into()),
            ..KubernetesConfig::default()
        },
    };
    let problem = |path: &Path| missing_files(&config(path)).remove(0).to_string();
    assert!(problem(&path).contains("cannot be read"));

    let yaml =
        "clusters:\n- name: c\n  cluster: {server: https://h, certificate-authority: ca.crt}\n";
    std::fs::write(&path, yaml).expect("written");
    assert!(problem(&path).contains(&directory.path().join("ca.crt").display().to_string()));

    std::fs::write(directory.path().join("ca.crt"), "").expect("written");
    assert_eq!(missing_files(&config(&path)), []);

    std::fs::write(&path, "[").expect("written");
    assert!(problem(&path).contains("is no kubeconfig"));
}
