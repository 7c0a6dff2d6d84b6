//! The admin interface: health, metrics, and what the command line shows, over HTTP.
//!
//! Invariants:
//! 1. What changes the relay needs the token. Reads are open; damage that reading comes upon is moved
//!    aside, as when a sink comes upon it.
//! 2. It shows plain values of the relay, such as [`Status`](crate::relay::Status), none of which holds a
//!    secret of the configuration. A record is what may be read of events in the cluster.
//! 3. A failing sink makes neither `/readyz` nor `/healtz` fail: restarting the relay helps no sink.
//! 4. Nor does a full log: no other pod could take over, an update with the remedy must not wait for it to
//!    be ready, and a restart frees nothing. It is seen in `status`, in metrics and in `/readyz?verbose`.

mod client;
mod config;
mod health;
mod operations;
mod reload;
mod server;
mod starting;
mod token;

pub use client::{Client, ClientError, DEFAULT_SERVER};
pub use config::{AdminConfig, ListenError};
pub use operations::Operations;
pub use reload::{ReloadRequest, Reloads};
pub use server::{Admin, serve};
pub use starting::StartingRelay;
pub use token::{AdminToken, TokenError};
