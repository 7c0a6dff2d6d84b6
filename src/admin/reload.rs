//! Asking for the configuration file to be read again.

use tokio::sync::{mpsc, oneshot};

use crate::relay::{Change, ControlError, Order};

/// One request, and where its answer goes.
pub type ReloadRequest = (Order, oneshot::Sender<Result<Change, ControlError>>);

/// Whoever reads the configuration file, as far as others may ask for it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reloads(Option<mpsc::Sender<ReloadRequest>>);

impl Reloads {
    /// Requests, and whoever answers them.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(Some(sender)), receiver)
    }

    /// Has the file read again.
    pub async fn ask(&self, order: Order) -> Result<Change, ControlError> {
        let Some(sender) = &self.0 else {
            let reason = "the relay runs with flags, not with a file that could be read again";
            return Err(ControlError::Refused(reason.to_owned()));
        };
        let (answer, answered) = oneshot::channel();
        sender.send((order, answer)).await.map_err(|_| ControlError::NotRunning)?;
        answered.await.map_err(|_| ControlError::NotRunning)?
    }
}
