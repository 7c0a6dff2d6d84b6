//! Which relay a command looks at: a running one over HTTP, or the directory of a stopped one.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::admin::{AdminToken, Client, ClientError, DEFAULT_SERVER};
use crate::config::DATA_DIRECTORY_VARIABLE;
use crate::cursor::AuditEntry;
use crate::event::ResourceVersion;
use crate::log::{LogConfig, Progress};
use crate::relay::{
    self, CountQuery, CursorStatus, FoundRecord, LetterPage, LetterQuery, LetterView, LogStat,
    RecordCounts, RelayError, ReplayStatus, Status, Verification,
};

/// The options `--server` and `--data-dir`.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// The running relay.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Read the data directory of a stopped relay instead
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub data_dir: Option<PathBuf>,
}

/// The options `--server` and `--token-file`.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address of a running relay's admin interface
    #[arg(long, value_name = "URL", default_value = DEFAULT_SERVER)]
    pub server: String,
    /// File with the token that changes need; the relay makes it, as `admin-token` in its data directory
    #[arg(long, value_name = "FILE", env = "KUBE_EVENT_RELAY_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

impl ServerArgs {
    /// A client for it. Without a token file, the token is that of this machine's relay, if there is one.
    pub fn client(&self) -> Result<Client, ClientError> {
        Ok(Client::new(&self.server)?.with_token(self.token()?))
    }

    fn token(&self) -> Result<Option<String>, ClientError> {
        let Some(path) = &self.token_file else {
            // Commands that only look need none, and the relay says where it is.
            return Ok(AdminToken::of(&data_dir()).read().ok());
        };
        let text = std::fs::read_to_string(path);
        text.map(|text| Some(text.trim().to_owned()))
            .map_err(|cause| ClientError::Token { path: path.clone(), cause })
    }
}

/// Where the relay of this machine, or of this pod, has its data unless it was told otherwise.
fn data_dir() -> PathBuf {
    let from_environment = std::env::var_os(DATA_DIRECTORY_VARIABLE).map(PathBuf::from);
    from_environment.unwrap_or_else(|| LogConfig::default().data_dir)
}

/// Why a command that only looks could not show anything.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The running relay could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The stopped relay's directory could not be read.
    #[error(transparent)]
    Directory(#[from] RelayError),
    /// There is no such sink in the directory.
    #[error("there is no sink {name:?}; there are: {known}")]
    UnknownSink {
        /// As written.
        name: String,
        /// All names.
        known: String,
    },
    /// The reader of the directory ended without an answer.
    #[error("reading the data directory was interrupted: {0}; try again")]
    Interrupted(#[from] tokio::task::JoinError),
    /// Standard output does not take the answer.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl TargetArgs {
    /// Everything there is to see.
    pub async fn status(&self) -> Result<Status, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.status().await?);
        };
        let read = move || relay::offline_status(&directory);
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// The cursors of all sinks.
    pub async fn cursors(&self) -> Result<Vec<CursorStatus>, ReadError> {
        if self.data_dir.is_none() {
            return Ok(self.client()?.cursors().await?);
        }
        let cursors = self.status().await?.into_cursors();
        Ok(cursors.into_iter().flat_map(|(_, cursors)| cursors).collect())
    }

    /// The cursors of one sink.
    pub async fn cursors_of(&self, sink: &str) -> Result<Vec<CursorStatus>, ReadError> {
        if self.data_dir.is_none() {
            return Ok(self.client()?.cursors_of(sink).await?);
        }
        cursors_in(self.status().await?, sink)
    }

    /// Looks for damage. `scratch` is where copies of a stopped relay's segments are made, and `progress` is
    /// how far that is.
    pub async fn verify(
        &self,
        scratch: PathBuf,
        progress: Arc<Progress>,
    ) -> Result<Verification, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.verify().await?);
        };
        let look = move || relay::offline_verification(&directory, &scratch, &progress);
        Ok(tokio::task::spawn_blocking(look).await??)
    }

    /// What operators have changed, oldest first.
    pub async fn audit(&self) -> Result<Vec<AuditEntry>, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.audit().await?);
        };
        let read = move || relay::offline_changes(&directory);
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// All replays that are kept, oldest first.
    pub async fn replays(&self) -> Result<Vec<ReplayStatus>, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.replays().await?);
        };
        let read = move || relay::offline_replays(&directory);
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// The record of the log with this resourceVersion.
    pub async fn record(&self, version: ResourceVersion) -> Result<FoundRecord, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.record(&version).await?);
        };
        let find = move || relay::offline_record(&directory, &version);
        Ok(tokio::task::spawn_blocking(find).await??)
    }

    /// What the log holds.
    pub async fn log_stat(&self) -> Result<LogStat, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.log_stat().await?);
        };
        let read = move || relay::offline_stat(&directory);
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// How many records there are of each value.
    pub async fn count_records(&self, query: CountQuery) -> Result<RecordCounts, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.count_records(&query).await?);
        };
        let read = move || relay::offline_counts(&directory, &query);
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// Some dead letters of a sink.
    pub async fn letters(&self, sink: &str, query: LetterQuery) -> Result<LetterPage, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.letters(sink, &query).await?);
        };
        let sink = sink.to_owned();
        let read = move || relay::offline_letters(&directory, &sink, &query);
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// One dead letter of a sink.
    pub async fn letter(&self, sink: &str, name: String) -> Result<LetterView, ReadError> {
        let Some(directory) = self.data_dir.clone() else {
            return Ok(self.client()?.letter(sink, &name).await?);
        };
        let sink = sink.to_owned();
        let read = move || relay::offline_letter(&directory, &sink, &name);
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    pub(super) fn client(&self) -> Result<Client, ClientError> {
        self.server.client()
    }
}

fn cursors_in(status: Status, name: &str) -> Result<Vec<CursorStatus>, ReadError> {
    let cursors = status.into_cursors();
    let known = cursors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let found = cursors.into_iter().find(|(known, _)| known == name);
    found
        .map(|(_, cursors)| cursors)
        .ok_or_else(|| ReadError::UnknownSink { name: name.into(), known })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::fixture;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        target: TargetArgs,
    }

    #[test]
    fn a_directory_and_a_server_exclude_each_other() {
        let parse = |arguments: &[&str]| Command::try_parse_from(arguments);
        assert_eq!(parse(&["x"]).expect("valid").target.server.server, DEFAULT_SERVER);
        assert!(parse(&["x", "--data-dir", "/data"]).is_ok());
        assert!(parse(&["x", "--data-dir", "/data", "--server", "http://a"]).is_err());
    }

    #[test]
    fn a_sink_that_does_not_exist_is_named() {
        let error = cursors_in(fixture::healthy(), "pager").expect_err("unknown");
        assert_eq!(error.to_string(), "there is no sink \"pager\"; there are: oncall, archive");
        assert_eq!(cursors_in(fixture::healthy(), "archive").expect("known").len(), 1);
    }
}
