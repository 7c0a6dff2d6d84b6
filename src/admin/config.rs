//! `admin` in the configuration.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Where the admin interface listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address and port; port 0 takes any free one. The default is kube-eventer's.
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8084)) }
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {cause}; choose another address with admin.listen, or with \
     --healthz-ip and --healthz-port"
)]
pub struct ListenError {
    /// The address as configured.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub cause: std::io::Error,
}

impl AdminConfig {
    /// Opens the listener for [`serve`](super::serve).
    pub async fn bind(&self) -> Result<TcpListener, ListenError> {
        let address = self.listen;
        TcpListener::bind(address).await.map_err(|cause| ListenError { address, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_where_kube_eventer_did() {
        let config: AdminConfig = serde_json::from_str("{}").expect("valid");
        assert_eq!(config.listen.to_string(), "0.0.0.0:8084");
        assert!(serde_json::from_str::<AdminConfig>(r#"{"port":1}"#).is_err());
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = AdminConfig { listen: ([127, 0, 0, 1], 0).into() }.bind().await.expect("free");
        let listen = taken.local_addr().expect("an address");
        let error = AdminConfig { listen }.bind().await.expect_err("taken");
        assert!(error.to_string().contains(&listen.to_string()), "{error}");
    }
}
