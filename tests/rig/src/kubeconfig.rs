//! Kubeconfig files: for the cluster itself, a proxy before it, or another user.

use std::path::{Path, PathBuf};

/// What a kubeconfig file says; one cluster, one user, one context.
#[derive(Debug, Clone, Default)]
pub struct Kubeconfig {
    server: String,
    authority: Option<PathBuf>,
    user: Vec<String>,
}

impl Kubeconfig {
    /// A configuration for the server at `url`, without credentials.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { server: url.to_owned(), ..Self::default() }
    }

    /// Trusts the certificate authority in this file.
    #[must_use]
    pub fn authority(mut self, path: &Path) -> Self {
        self.authority = Some(path.to_owned());
        self
    }

    /// Authenticates by this token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.user.push(format!("token: {token}"));
        self
    }

    /// Authenticates by the token in a file, read again as it changes.
    #[must_use]
    pub fn token_file(mut self, path: &Path) -> Self {
        self.user.push(format!("tokenFile: {}", path.display()));
        self
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        let server = &self.server;
        let authority = self.authority.as_ref().map_or_else(String::new, |path| {
            format!("    certificate-authority: {}\n", path.display())
        });
        let user = if self.user.is_empty() {
            " {}\n".to_owned()
        } else {
            format!("\n    {}\n", self.user.join("\n    "))
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: rig\n\
             clusters:\n- name: rig\n  cluster:\n    server: {server}\n{authority}\
             users:\n- name: rig\n  user:{user}\
             contexts:\n- name: rig\n  context:\n    cluster: rig\n    user: rig\n"
        );
        std::fs::write(path, text).expect("write a kubeconfig");
    }
}
