//! The way to the API server: settings become a client of `kube`.
//!
//! The client is built here rather than by `kube::Client::try_from` for two reasons: TCP keepalive
//! finds out about connections that a load balancer has forgotten, and no retry layer stands
//! between the state machine and what the API server says.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tower::{BoxError, ServiceBuilder};

use super::SourceError;
use super::access_error::{client_error, kubeconfig_error, service_account_error};
use super::config::{KubernetesConfig, server_address};
use super::error::in_one_line;

/// Time for name resolution and TCP connect together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is probed after this time, and given up after [`KEEPALIVE_PROBES`] more.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Unanswered probes of the network stack: a dead connection is noticed after a minute.
const KEEPALIVE_PROBES: u32 = 3;
/// Where Kubernetes mounts a pod's credentials.
pub(super) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Makes clients. Each has connections of its own, and credentials as of now.
#[async_trait]
pub(super) trait Connect: Send + Sync {
    /// A new client. Does not need the API server.
    async fn connect(&self) -> Result<kube::Client, SourceError>;
}

#[async_trait]
impl Connect for KubernetesConfig {
    async fn connect(&self) -> Result<kube::Client, SourceError> {
        let config = access(self).await?;
        // Credential plug-ins of a kubeconfig are programs, and are waited for.
        let built = tokio::task::spawn_blocking(move || client(config)).await;
        match built {
            Ok(client) => client.map_err(|error| client_error(&error)),
            Err(error) => Err(SourceError::Access(in_one_line(&error))),
        }
    }
}

/// Where address and credentials come from; the table of [`KubernetesConfig`].
#[derive(Debug, PartialEq, Eq)]
enum Way<'a> {
    ServiceAccount,
    /// A kubeconfig, and whether `server`, `insecure` and `useServiceAccount` adjust it.
    Kubeconfig(&'a Path, bool),
    /// A bare address.
    Server(&'a str),
    /// Like `kubectl`, or the pod's service account.
    Environment,
}

fn way(config: &KubernetesConfig) -> Result<Way<'_>, SourceError> {
    let explicit = config.in_cluster_config;
    if explicit == Some(true) {
        return Ok(Way::ServiceAccount);
    }
    if let Some(path) = &config.kubeconfig {
        return Ok(Way::Kubeconfig(path, explicit.is_none()));
    }
    match (&config.auth, &config.server) {
        (Some(path), _) => Ok(Way::Kubeconfig(path, true)),
        (None, Some(server)) => Ok(Way::Server(server)),
        (None, None) if explicit == Some(false) => Err(SourceError::Access(
            "inClusterConfig is false, and neither a kubeconfig nor a server is given".to_owned(),
        )),
        (None, None) => Ok(Way::Environment),
    }
}

async fn access(settings: &KubernetesConfig) -> Result<kube::Config, SourceError> {
    let (mut config, adjusted) = match way(settings)? {
        Way::ServiceAccount => (service_account(settings.server.is_some())?, true),
        Way::Kubeconfig(path, adjusted) => {
            let kubeconfig =
                Kubeconfig::read_from(path).map_err(|error| kubeconfig_error(&error))?;
            (from_kubeconfig(kubeconfig, settings).await?, adjusted)
        }
        Way::Server(server) => (kube::Config::new(server_address(server)?), true),
        Way::Environment => (environment(settings).await?, true),
    };
    if adjusted {
        if let Some(server) = &settings.server {
            config.cluster_url = server_address(server)?;
        }
        config.accept_invalid_certs |= settings.insecure;
        let token = Path::new(SERVICE_ACCOUNT).join("token");
        if settings.use_service_account && std::fs::File::open(&token).is_ok() {
            config.auth_info.token = None;
            config.auth_info.token_file = Some(token.display().to_string());
        }
    }
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    Ok(config)
}

async fn environment(settings: &KubernetesConfig) -> Result<kube::Config, SourceError> {
    let named = settings.context.is_some()
        || std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    match Kubeconfig::read() {
        Ok(kubeconfig) => from_kubeconfig(kubeconfig, settings).await,
        Err(error) if named => Err(kubeconfig_error(&error)),
        Err(KubeconfigError::FindPath) => service_account(false),
        Err(KubeconfigError::ReadConfig(cause, _))
            if cause.kind() == std::io::ErrorKind::NotFound =>
        {
            service_account(false)
        }
        Err(error) => Err(kubeconfig_error(&error)),
    }
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    settings: &KubernetesConfig,
) -> Result<kube::Config, SourceError> {
    let options =
        KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    let named = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let names_proxy = named.into_iter().any(|cluster| cluster.proxy_url.is_some());
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| kubeconfig_error(&error))?;
    if !names_proxy && !needs_proxy(&config.cluster_url, &Matcher::from_env()) {
        config.proxy_url = None;
    }
    Ok(config)
}

/// Whether a proxy of the environment stands before the API server. `kube` compares `NO_PROXY`
/// with the address of the proxy; `kubectl` compares it with that of the API server, and never
/// asks a proxy for this machine.
fn needs_proxy(server: &http::Uri, environment: &Matcher) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost"
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    !local && environment.intercept(server).is_some()
}

fn service_account(address_is_given: bool) -> Result<kube::Config, SourceError> {
    let config = if address_is_given {
        kube::Config::incluster_dns()
    } else {
        kube::Config::incluster_env()
    };
    config.map_err(|error| service_account_error(&error))
}

fn client(config: kube::Config) -> Result<kube::Client, kube::Error> {
    if config.proxy_url.is_some() {
        return kube::Client::try_from(config);
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(config.connect_timeout);
    http.set_keepalive(Some(KEEPALIVE));
    http.set_keepalive_interval(Some(KEEPALIVE));
    http.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    let https = config.rustls_https_connector_with_connector(http)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(HttpClient::builder(TokioExecutor::new()).build(https));
    Ok(kube::Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> KubernetesConfig {
        serde_json::from_str(json).expect("settings")
    }

    const KUBECONFIG: &str = r#"{"apiVersion":"v1","kind":"Config","current-context":"a",
        "clusters":[{"name":"c","cluster":{"server":"https://10.0.0.1:6443"}},
                    {"name":"d","cluster":{"server":"https://10.0.0.2:6443",
                     "certificate-authority":"/no/such/ca.crt"}}],
        "contexts":[{"name":"a","context":{"cluster":"c","user":"u"}},
                    {"name":"b","context":{"cluster":"d","user":"u"}}],
        "users":[{"name":"u","user":{"token":"t"}}]}"#;

    #[test]
    fn the_options_of_kube_eventer_lead_where_they_led() {
        let cases = [
            (r#"{"inClusterConfig":true,"kubeconfig":"/k"}"#, Way::ServiceAccount),
            (r#"{"inClusterConfig":false,"kubeconfig":"/k","auth":"/a"}"#, kubeconfig("/k", false)),
            (
                r#"{"inClusterConfig":false,"auth":"/a","server":"http://s"}"#,
                kubeconfig("/a", true),
            ),
            (r#"{"inClusterConfig":false,"server":"http://s"}"#, Way::Server("http://s")),
            (r#"{"server":"http://s"}"#, Way::Server("http://s")),
            (r#"{"kubeconfig":"/k","server":"http://s"}"#, kubeconfig("/k", true)),
            ("{}", Way::Environment),
        ];
        for (json, expected) in cases {
            assert_eq!(way(&settings(json)).expect(json), expected, "{json}");
        }
        assert!(way(&settings(r#"{"inClusterConfig":false}"#)).is_err());
    }

    fn kubeconfig(path: &'static str, adjusted: bool) -> Way<'static> {
        Way::Kubeconfig(Path::new(path), adjusted)
    }

    fn written() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), KUBECONFIG).expect("written");
        file
    }

    #[tokio::test]
    async fn a_kubeconfig_is_adjusted_unless_it_is_taken_as_it_is() {
        let file = written();
        let mut wanted = settings(r#"{"server":"https://other:1","insecure":true}"#);
        wanted.kubeconfig = Some(file.path().to_owned());
        let config = access(&wanted).await.expect("access");
        assert_eq!(config.cluster_url.host(), Some("other"));
        assert!(config.accept_invalid_certs && !config.default_retry);
        wanted.in_cluster_config = Some(false);
        let config = access(&wanted).await.expect("access");
        assert_eq!(config.cluster_url.host(), Some("10.0.0.1"));
        assert!(!config.accept_invalid_certs);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() {
        let mut wanted = settings(r#"{"kubeconfig":"/no/such/kubeconfig"}"#);
        let error = access(&wanted).await.expect_err("missing").to_string();
        assert!(error.contains("/no/such/kubeconfig") && !error.contains('\n'), "{error}");
        let file = written();
        wanted.kubeconfig = Some(file.path().to_owned());
        wanted.context = Some("b".to_owned());
        let error = access(&wanted).await.expect_err("missing CA").to_string();
        assert!(error.contains("/no/such/ca.crt"), "{error}");
        wanted.context = Some("z".to_owned());
        let error = access(&wanted).await.expect_err("missing context").to_string();
        assert!(error.contains('z'), "{error}");
    }

    #[test]
    fn a_proxy_is_passed_by_where_the_environment_says_so() {
        let environment =
            Matcher::builder().https("http://proxy:3128").no("10.0.0.0/8,.internal").build();
        let needs = |server: &str| needs_proxy(&server.parse().expect("a URL"), &environment);
        assert!(needs("https://prod.example.com:6443"));
        for server in ["https://10.0.0.1", "https://a.internal", "https://127.0.0.1:6443"] {
            assert!(!needs(server), "{server}");
        }
        assert!(!needs("https://localhost:6443") && !needs("https://[::1]:6443"));
    }

    #[tokio::test]
    async fn a_client_needs_no_api_server() {
        let file = written();
        let mut wanted = settings("{}");
        wanted.kubeconfig = Some(file.path().to_owned());
        wanted.connect().await.expect("a client");
        settings(r#"{"server":"https://127.0.0.1:1"}"#).connect().await.expect("a client");
    }
}
