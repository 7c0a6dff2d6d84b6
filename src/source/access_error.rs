//! Why the way to the API server is not there, in one line that names the file and the remedy.
//!
//! Invariant: nothing that may be a credential is quoted.

use std::path::{Path, PathBuf};

use kube::client::AuthError;
use kube::config::{InClusterError, KubeconfigError, LoadDataError};

use super::SourceError;
use super::connect::SERVICE_ACCOUNT;
use super::error::in_one_line;

fn unreadable(
    what: &'static str,
    path: impl Into<PathBuf>,
    cause: &std::io::Error,
    remedy: &'static str,
) -> SourceError {
    SourceError::File { what, path: path.into(), cause: cause.to_string(), remedy }
}

pub(super) fn kubeconfig_error(error: &KubeconfigError) -> SourceError {
    const NAMED: &str = "correct its path in the kubeconfig, or make it readable";
    match error {
        KubeconfigError::ReadConfig(cause, path) => unreadable(
            "the kubeconfig",
            path,
            cause,
            "correct source.kubernetes.kubeconfig (or KUBECONFIG), or make the file readable",
        ),
        KubeconfigError::LoadCertificateAuthority(LoadDataError::ReadFile(cause, path)) => {
            unreadable("the CA certificate", path, cause, NAMED)
        }
        KubeconfigError::LoadClientCertificate(LoadDataError::ReadFile(cause, path)) => {
            unreadable("the client certificate", path, cause, NAMED)
        }
        KubeconfigError::LoadClientKey(LoadDataError::ReadFile(cause, path)) => {
            unreadable("the client key", path, cause, NAMED)
        }
        KubeconfigError::Parse(error) => {
            // The error quotes the text around the mistake, which may be a token.
            let place = error.location().map_or_else(String::new, |place| {
                format!(" at line {} column {}", place.line(), place.column())
            });
            SourceError::Access(format!("the kubeconfig is not valid YAML{place}"))
        }
        other => {
            SourceError::Access(format!("the kubeconfig is not usable: {}", in_one_line(other)))
        }
    }
}

pub(super) fn service_account_error(error: &InClusterError) -> SourceError {
    let mounted = |what, file, cause| {
        unreadable(
            what,
            Path::new(SERVICE_ACCOUNT).join(file),
            cause,
            "the pod needs automountServiceAccountToken: true",
        )
    };
    match error {
        InClusterError::ReadDefaultNamespace(cause) => {
            mounted("the service account's namespace", "namespace", cause)
        }
        InClusterError::ReadCertificateBundle(cause) => {
            mounted("the CA certificate", "ca.crt", cause)
        }
        InClusterError::ReadEnvironmentVariable(_) => SourceError::Access(
            "there is no kubeconfig, and this is not a pod of a cluster (KUBERNETES_SERVICE_HOST \
             is not set); set source.kubernetes.kubeconfig"
                .to_owned(),
        ),
        other => SourceError::Access(in_one_line(other)),
    }
}

pub(super) fn client_error(error: &kube::Error) -> SourceError {
    match error {
        kube::Error::Auth(AuthError::ReadTokenFile(cause, path)) => unreadable(
            "the token",
            path,
            cause,
            "in a pod, set automountServiceAccountToken: true; otherwise correct the kubeconfig",
        ),
        kube::Error::InferKubeconfig(error) => kubeconfig_error(error),
        other => SourceError::Access(describe(other)),
    }
}

/// A failed request in one line. What a credential plug-in printed is left out: it may be a token.
pub(super) fn describe(error: &kube::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<AuthError>() {
            Some(AuthError::AuthExecRun { out, .. }) => {
                return format!(
                    "the credential plug-in of the kubeconfig failed ({}); run it by hand to see why",
                    out.status
                );
            }
            Some(AuthError::AuthExecParse(_)) => {
                return "the credential plug-in of the kubeconfig did not print an ExecCredential; \
                        run it by hand to see why"
                    .to_owned();
            }
            _ => cause = error.source(),
        }
    }
    in_one_line(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use super::*;

    #[test]
    fn what_a_credential_plug_in_printed_is_not_shown() {
        let failed = || AuthError::AuthExecRun {
            cmd: "plugin --token hunter2".to_owned(),
            out: Box::new(Output {
                status: ExitStatus::from_raw(256),
                stdout: b"hunter2".to_vec(),
                stderr: Vec::new(),
            }),
        };
        for error in [kube::Error::Auth(failed()), kube::Error::Service(Box::new(failed()))] {
            let text = describe(&error);
            assert!(text.contains("plug-in") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_mistake_in_a_kubeconfig_is_located_and_not_quoted() {
        let error = kube::config::Kubeconfig::from_yaml("users: [{name: a, user: hunter2}]");
        let text = kubeconfig_error(&error.expect_err("a mistake")).to_string();
        assert!(text.contains("line 1") && !text.contains("hunter2"), "{text}");
    }
}
