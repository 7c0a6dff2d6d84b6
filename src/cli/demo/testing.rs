//! What the demo's tests share.

/// A plain HTTP client.
pub(super) fn http() -> reqwest::Client {
    // Fails when another test has installed it, which is just as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
