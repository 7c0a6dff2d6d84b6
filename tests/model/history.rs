//! A value of which a crash may leave an earlier version, but none before the last durable one.

use std::fmt::Debug;

/// Versions of a value, oldest first.
#[derive(Debug)]
pub struct History<T> {
    /// Each with the time of its change.
    versions: Vec<(i64, T)>,
    /// Index of the earliest that a crash may leave.
    durable: usize,
}

impl<T: Clone + PartialEq + Debug> History<T> {
    /// A value that is durable.
    pub fn new(value: T) -> Self {
        Self { versions: vec![(0, value)], durable: 0 }
    }

    /// The value as everybody sees it.
    pub fn current(&self) -> &T {
        &self.versions[self.versions.len() - 1].1
    }

    /// Number of changes that may not be durable.
    pub fn changes(&self) -> u64 {
        (self.versions.len() - 1 - self.durable) as u64
    }

    pub fn change(&mut self, time: i64, value: T) {
        self.versions.push((time, value));
    }

    /// All changes are durable.
    pub fn sync(&mut self) {
        self.durable = self.versions.len() - 1;
    }

    /// Changes before this time are durable.
    pub fn sync_before(&mut self, time: i64) {
        let before = self.versions.partition_point(|(at, _)| *at < time);
        self.durable = self.durable.max(before.saturating_sub(1));
    }

    /// Somebody says that this version is durable.
    pub fn promised(&mut self, value: &T) -> Result<(), String> {
        let promised = self.versions.iter().rposition(|(_, version)| version == value);
        let promised = promised.ok_or_else(|| format!("{value:?} is durable, nobody set it"))?;
        if promised < self.durable {
            let durable = &self.versions[self.durable].1;
            return Err(format!("{value:?} is durable, {durable:?} was so before"));
        }
        self.durable = promised;
        Ok(())
    }

    /// This version was found after a crash. Returns the time of its change.
    pub fn found(&mut self, value: &T) -> Result<i64, String> {
        let allowed = &self.versions[self.durable..];
        let found = allowed.iter().rfind(|(_, version)| version == value);
        let Some((time, _)) = found else {
            return Err(format!("{value:?} was found, expected one of {allowed:?}"));
        };
        let time = *time;
        *self = Self::new(value.clone());
        Ok(time)
    }
}
