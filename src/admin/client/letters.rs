//! Dead letters, asked for and changed over HTTP.

use reqwest::Method;

use super::{CHANGE_TIMEOUT, Client, ClientError, TIMEOUT};
use crate::admin::server::DryRun;
use crate::relay::{LetterChange, LetterPage, LetterQuery, LetterSelection, LetterView};

impl Client {
    /// Some dead letters of a sink.
    pub async fn letters(
        &self,
        sink: &str,
        query: &LetterQuery,
    ) -> Result<LetterPage, ClientError> {
        self.ask(self.request(Method::GET, TIMEOUT, &["dead-letters", sink]).query(query)).await
    }

    /// One of them, by its name or by its resourceVersion.
    pub async fn letter(&self, sink: &str, name: &str) -> Result<LetterView, ClientError> {
        self.get(&["dead-letters", sink, name]).await
    }

    /// Hands a portion of them over again.
    pub async fn retry_letters(
        &self,
        sink: &str,
        selection: &LetterSelection,
        dry_run: bool,
    ) -> Result<LetterChange, ClientError> {
        self.change_letters(sink, "retry", selection, dry_run).await
    }

    /// Removes a portion of them for good.
    pub async fn discard_letters(
        &self,
        sink: &str,
        selection: &LetterSelection,
        dry_run: bool,
    ) -> Result<LetterChange, ClientError> {
        self.change_letters(sink, "discard", selection, dry_run).await
    }

    async fn change_letters(
        &self,
        sink: &str,
        action: &str,
        selection: &LetterSelection,
        dry_run: bool,
    ) -> Result<LetterChange, ClientError> {
        let path = ["dead-letters", sink, action];
        let request = self.request(Method::POST, CHANGE_TIMEOUT, &path);
        self.ask(request.query(&DryRun { dry_run }).json(selection)).await
    }
}
