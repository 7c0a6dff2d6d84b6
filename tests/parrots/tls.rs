//! HTTP/2 over TLS, in front of a router. It stops when dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

pub(super) struct TlsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsServer {
    pub(super) async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(config()));
        let task = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.expect("a connection");
                tokio::spawn(serve(acceptor.clone(), connection, router.clone()));
            }
        });
        Self { address, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The certificate of the authority that its own is signed by.
pub(super) fn authority() -> PathBuf {
    fixture("ca.pem")
}

async fn serve(acceptor: TlsAcceptor, connection: TcpStream, router: Router) {
    let Ok(stream) = acceptor.accept(connection).await else { return };
    let answer = service_fn(move |request| router.clone().oneshot(request));
    let builder = http2::Builder::new(TokioExecutor::new());
    // An error: the client went away.
    let _ended = builder.serve_connection(TokioIo::new(stream), answer).await.is_err();
}

fn config() -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(fixture("server.pem")).expect("certificates");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}
