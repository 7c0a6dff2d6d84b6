//! Everything the configuration needs to know of the source's own settings.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::check::{Problem, Step};
use crate::setting::EventerUri;
use crate::source::{KubernetesConfig, SourceConfig, SourceError, Start};

/// Options kube-eventer's source reads.
const OPTIONS: [&str; 5] =
    ["inClusterConfig", "insecure", "localKubeConfig", "auth", "useServiceAccount"];

/// kube-eventer's `--source`, and what it passed over silently.
pub(super) fn from_uri(uri: &EventerUri) -> Result<(SourceConfig, Vec<String>), String> {
    if uri.kind != "kubernetes" {
        return Err(format!(
            "unknown source {:?}; the only one is kubernetes: --source=kubernetes:https://kubernetes.default",
            uri.kind
        ));
    }
    let mut warnings = unknown_options(uri);
    if uri.scheme.is_some() && uri.host.is_none() {
        warnings.push(
            "the address is not used, because it has no host; write https://HOST:PORT".into(),
        );
    }
    // `kubernetes:''` is how manifests say "nothing"; its quotes are a path.
    if !["", "/", "''", "\"\""].contains(&uri.path.as_str()) {
        warnings
            .push("the path of the address is not used; an address is SCHEME://HOST:PORT".into());
    }
    let path = |option| uri.first(option).filter(|path| !path.is_empty()).map(PathBuf::from);
    let kubernetes = KubernetesConfig {
        kubeconfig: path("localKubeConfig"),
        auth: path("auth"),
        server: server(uri),
        insecure: boolean(uri, "insecure")?.unwrap_or(false),
        // What kube-eventer does when the option is not given.
        in_cluster_config: Some(boolean(uri, "inClusterConfig")?.unwrap_or(true)),
        use_service_account: boolean(uri, "useServiceAccount")?.unwrap_or(false),
        ..KubernetesConfig::default()
    };
    warnings.extend(without_effect(&kubernetes)?);
    Ok((SourceConfig { kubernetes }, warnings))
}

fn server(uri: &EventerUri) -> Option<String> {
    Some(format!("{}://{}", uri.scheme.as_ref()?, uri.host.as_ref()?))
}

/// What the combination of options leaves unused.
fn without_effect(kubernetes: &KubernetesConfig) -> Result<Option<String>, String> {
    let KubernetesConfig { kubeconfig, auth, server, insecure, use_service_account, .. } =
        kubernetes;
    if kubernetes.in_cluster_config == Some(true) {
        let files = kubeconfig.is_some() || auth.is_some();
        let unused = "localKubeConfig and auth are not used; they need inClusterConfig=false";
        return Ok(files.then(|| unused.to_owned()));
    }
    if kubeconfig.is_some() {
        let others = auth.is_some() || server.is_some() || *insecure || *use_service_account;
        let unused = "localKubeConfig is used as it is; the address and the other options are not";
        return Ok(others.then(|| unused.to_owned()));
    }
    if auth.is_none() && server.is_none() {
        return Err("inClusterConfig=false needs the API server's address, such as \
             kubernetes:https://HOST:6443?inClusterConfig=false, or localKubeConfig=PATH"
            .to_owned());
    }
    Ok(None)
}

fn unknown_options(uri: &EventerUri) -> Vec<String> {
    uri.query
        .iter()
        .filter(|(name, _)| !OPTIONS.contains(&name.as_str()))
        .map(|(name, _)| {
            let hint = super::nearest::hint(name, &OPTIONS);
            format!("unknown option {name:?} is not used{hint}")
        })
        .collect()
}

fn boolean(uri: &EventerUri, option: &str) -> Result<Option<bool>, String> {
    let Some(text) = uri.first(option) else { return Ok(None) };
    super::eventer::boolean(text)
        .map(Some)
        .ok_or_else(|| format!("option {option}: {text:?} is not a boolean; write true or false"))
}

/// Sets what an empty log begins with, from the text of `--start`.
pub(super) fn set_start(config: &mut SourceConfig, text: &str) -> Result<(), String> {
    config.kubernetes.start = text.parse::<Start>().map_err(|error| error.to_string())?;
    Ok(())
}

/// Checks what the types cannot.
pub(super) fn check(config: &SourceConfig) -> Result<(), Problem> {
    config.validate().map_err(|error| match error {
        SourceError::Setting { field, reason } => Problem::at(place(field), reason),
        other => Problem::at(place("server"), other.to_string()),
    })
}

/// Files the source will need and that cannot be read: a kubeconfig, and the files it names.
pub(super) fn missing_files(config: &SourceConfig) -> Vec<Problem> {
    let KubernetesConfig { kubeconfig, auth, in_cluster_config, .. } = &config.kubernetes;
    let (field, path) = match (in_cluster_config, kubeconfig, auth) {
        (Some(true), _, _) | (_, None, None) => return Vec::new(),
        (_, Some(path), _) => ("kubeconfig", path),
        (_, None, Some(path)) => ("auth", path),
    };
    unreadable(path).into_iter().map(|message| Problem::at(place(field), message)).collect()
}

fn unreadable(kubeconfig: &Path) -> Vec<String> {
    let shown = kubeconfig.display();
    let text = match std::fs::read_to_string(kubeconfig) {
        Ok(text) => text,
        Err(cause) => {
            return vec![format!(
                "the kubeconfig {shown} cannot be read: {cause}; check the path and its permissions"
            )];
        }
    };
    let Ok(parsed) = serde_saphyr::from_str::<Kubeconfig>(&text) else {
        return vec![format!(
            "{shown} is no kubeconfig: it is not YAML with clusters, users and contexts"
        )];
    };
    // Paths in a kubeconfig are relative to it.
    let directory = kubeconfig.parent().unwrap_or(Path::new(""));
    let missing = |file: &PathBuf| {
        let file = directory.join(file);
        let cause = File::open(&file).err()?;
        Some(format!(
            "{}, named in the kubeconfig {shown}, cannot be read: {cause}; check the path and its permissions",
            file.display()
        ))
    };
    parsed.files().into_iter().filter_map(missing).collect()
}

fn place(field: &str) -> Vec<Step> {
    ["source", "kubernetes", field].map(Step::from).to_vec()
}

/// The part of a kubeconfig that names files.
#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    certificate_authority: Option<PathBuf>,
}

#[derive(Deserialize)]
struct NamedUser {
    #[serde(default)]
    user: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(rename = "client-certificate")]
    client_certificate: Option<PathBuf>,
    #[serde(rename = "client-key")]
    client_key: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

impl Kubeconfig {
    fn files(&self) -> Vec<&PathBuf> {
        let clusters = self.clusters.iter().filter_map(|named| named.cluster.as_ref());
        let users = self.users.iter().filter_map(|named| named.user.as_ref());
        clusters
            .filter_map(|cluster| cluster.certificate_authority.as_ref())
            .chain(users.flat_map(|user| {
                [&user.client_certificate, &user.client_key, &user.token_file].into_iter().flatten()
            }))
            .collect()
    }
}

#[cfg(test)]
#[path = "eventer_source_tests.rs"]
mod tests;
