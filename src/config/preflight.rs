//! What this machine must offer before the relay starts. Looks only; changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::check::Problem;
use super::secrets::{self, Missing};
use super::{Config, eventer_source};

/// What this machine lacks for a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preflight {
    /// The relay cannot start without it.
    pub errors: Vec<Problem>,
    /// A sink cannot deliver without it, but it may still come: files are read when they are needed.
    pub warnings: Vec<Problem>,
}

/// Looks for everything a configuration needs: variables, files, and a data directory that can be
/// written.
#[must_use]
pub fn preflight(config: &Config) -> Preflight {
    let mut found = Preflight::default();
    for (index, sink) in config.sinks.iter().enumerate() {
        let problem = |missing: Missing| {
            let mut path = vec!["sinks".into(), index.into(), "options".into()];
            path.extend(missing.option.split('.').map(Into::into));
            Problem::at(path, missing.reason)
        };
        // A sink with wrong options has been refused before.
        let variables = secrets::missing_variables(sink).unwrap_or_default();
        let files = secrets::missing_files(sink).unwrap_or_default();
        found.errors.extend(variables.into_iter().map(problem));
        found.warnings.extend(files.into_iter().map(problem));
    }
    found.errors.extend(eventer_source::missing_files(&config.source));
    if let Err(reason) = can_write(&config.log.data_dir) {
        found.errors.push(Problem::at(vec!["log".into(), "dataDir".into()], reason));
    }
    found
}

/// Whether files can be made in `directory`, or it can itself be made.
fn can_write(directory: &Path) -> Result<(), String> {
    let refused = |at: &Path, cause: &io::Error| {
        format!(
            "the data directory {} cannot be written: {}: {cause}; mount a writable volume there, or choose another directory",
            directory.display(),
            at.display()
        )
    };
    let existing = nearest_existing(directory).map_err(|(at, cause)| refused(&at, &cause))?;
    if !existing.is_dir() {
        return Err(refused(&existing, &io::Error::from(io::ErrorKind::NotADirectory)));
    }
    access(&existing, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| refused(&existing, &errno.into()))
}

/// The directory itself, or the nearest one above it that exists.
fn nearest_existing(directory: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    let directory =
        std::path::absolute(directory).map_err(|cause| (directory.to_owned(), cause))?;
    for candidate in directory.ancestors() {
        match candidate.metadata() {
            Ok(_) => return Ok(candidate.to_owned()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err((candidate.to_owned(), cause)),
        }
    }
    Err((directory, io::Error::from(io::ErrorKind::NotFound)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_exist_yet_is_fine_where_it_can_be_made() {
        let place = tempfile::tempdir().expect("a directory");
        assert_eq!(can_write(&place.path().join("a/b")), Ok(()));
        assert_eq!(std::fs::read_dir(place.path()).expect("listing").count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("file");
        std::fs::write(&file, "").expect("written");
        for directory in [file.clone(), file.join("data")] {
            let reason = can_write(&directory).expect_err("refused");
            assert!(reason.contains(&file.display().to_string()), "{reason}");
        }
    }

    fn webhook(url: &serde_json::Value) -> Preflight {
        let sink = serde_json::json!({"name": "a", "kind": "webhook", "options": {"url": url}});
        let sinks = vec![serde_json::from_value(sink).expect("a sink")];
        preflight(&Config { sinks, ..Config::default() })
    }

    #[test]
    fn a_variable_that_is_not_set_is_an_error() {
        let errors = webhook(&serde_json::json!({"env": "NO_SUCH_VARIABLE_AT_ALL"})).errors;
        assert_eq!(errors[0].path_text(), "sinks[0].options.url");
        assert!(errors[0].message.contains("NO_SUCH_VARIABLE_AT_ALL"), "{errors:?}");
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_a_warning() {
        let warnings = webhook(&serde_json::json!({"file": "/no/such/file"})).warnings;
        assert_eq!(warnings[0].path_text(), "sinks[0].options.url");
        assert!(warnings[0].message.contains("/no/such/file"), "{warnings:?}");
    }
}
