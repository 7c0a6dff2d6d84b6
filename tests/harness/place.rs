//! Where a command of the command line is sent: to a running relay, or to the directory of a stopped one.

use std::path::PathBuf;

use kube_event_relay::relay::Change;
use rig::{Received, Relay};
use serde::de::DeserializeOwned;

use super::{Answer, Setup, program};

/// Where a command is sent.
#[derive(Clone)]
pub enum Place {
    Running(String, PathBuf),
    Stopped(PathBuf),
}

impl Place {
    /// A relay that runs with these settings, with the token of its directory.
    pub async fn running(setup: &Setup, relay: &Relay) -> Self {
        Self::Running(relay.admin_url().await, setup.data().join("admin-token"))
    }

    /// Runs a command there, to its end.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        let place = match self {
            Self::Running(url, token) => {
                vec!["--server", url.as_str(), "--token-file", token.to_str().expect("UTF-8")]
            }
            Self::Stopped(data) => vec!["--data-dir", data.to_str().expect("UTF-8")],
        };
        program(&[arguments, &place].concat())
    }

    /// What a command prints for people.
    pub fn page(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.code, Some(0), "{arguments:?}: {}", answer.stderr);
        answer.stdout
    }

    /// The JSON that a command prints.
    pub fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let text = self.page(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Makes a change, which does what its dry run said.
    pub fn change(&self, arguments: &[&str]) -> Change {
        let said: Change = self.ask(&[arguments, &["--dry-run"]].concat());
        assert!(said.dry_run);
        let done: Change = self.ask(arguments);
        assert_eq!(Change { dry_run: false, ..said }, done, "{arguments:?}");
        done
    }
}

/// The resourceVersions of events that came one by one.
pub fn versions(requests: &[Received]) -> Vec<u64> {
    let version = |request: &Received| {
        let json = request.json();
        json["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok())
    };
    requests.iter().filter_map(version).collect()
}
