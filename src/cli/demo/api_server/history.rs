//! Every version of every event, as etcd keeps them: until they are compacted.
//!
//! Invariants:
//! 1. Versions count up by one with every change.
//! 2. Everything after `compacted` can still be told; nothing at or below it that has been
//!    overwritten can.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use serde_json::Value;

/// A version is older than the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("version {version} is older than the history, which begins after {compacted}")]
pub struct Expired {
    /// The version asked for.
    pub version: u64,
    /// The newest version that is forgotten.
    pub compacted: u64,
}

/// An object without `metadata.namespace` and `metadata.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event needs metadata.namespace and metadata.name")]
pub struct NotNamed;

/// Namespace and name: the order of lists.
pub(super) type Key = (String, String);

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Added,
    Modified,
    Deleted,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) verb: Verb,
    pub(super) key: Key,
    /// The object as it was after the change; for a deletion the last state. Without `kind` and
    /// `apiVersion`, which lists leave out.
    pub(super) body: Bytes,
}

/// A version of an object; `None` is its absence.
#[derive(Debug)]
struct Revision {
    version: u64,
    body: Option<Bytes>,
}

/// Objects of one page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) bodies: Vec<Bytes>,
    /// The key to go on after, when there is more.
    pub(super) more: Option<Key>,
}

#[derive(Debug)]
pub(super) struct History {
    latest: u64,
    compacted: u64,
    /// Number of changes that are remembered.
    limit: usize,
    objects: BTreeMap<Key, Vec<Revision>>,
    changes: VecDeque<Change>,
}

impl History {
    pub(super) fn new(first: u64, limit: usize) -> Self {
        Self {
            latest: first,
            compacted: first,
            limit,
            objects: BTreeMap::new(),
            changes: VecDeque::new(),
        }
    }

    /// Version of the newest change.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Stores a new version of an object and returns its resourceVersion.
    pub(super) fn put(&mut self, mut object: Value) -> Result<u64, NotNamed> {
        let key = key_of(&object)?;
        let verb = if self.exists(&key) { Verb::Modified } else { Verb::Added };
        let body = self.stamp(&mut object);
        Ok(self.record(key, verb, body))
    }

    /// Removes an object and returns the resourceVersion of the removal, if it was there.
    pub(super) fn delete(&mut self, namespace: &str, name: &str) -> Option<u64> {
        let key = (namespace.to_owned(), name.to_owned());
        let last = self.objects.get(&key)?.last()?.body.clone()?;
        let mut object = serde_json::from_slice(&last).ok()?;
        let body = self.stamp(&mut object);
        Some(self.record(key, Verb::Deleted, body))
    }

    /// Forgets the changes up to a version.
    pub(super) fn compact(&mut self, version: u64) {
        while self.changes.front().is_some_and(|change| change.version <= version) {
            let Some(change) = self.changes.pop_front() else { return };
            self.compacted = change.version;
            self.prune(&change.key);
        }
    }

    /// The objects as they were at `version`, in order of their keys.
    pub(super) fn list(
        &self,
        version: u64,
        namespace: Option<&str>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Expired> {
        self.check(version)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut bodies = Vec::new();
        let mut last = None;
        for (key, revisions) in self.objects.range((start, Bound::Unbounded)) {
            if namespace.is_some_and(|namespace| namespace != key.0) {
                continue;
            }
            let Some(body) = at(revisions, version) else { continue };
            if bodies.len() == limit {
                return Ok(Page { bodies, more: last });
            }
            bodies.push(body);
            last = Some(key.clone());
        }
        Ok(Page { bodies, more: None })
    }

    /// At most `limit` changes strictly after `version`, in order.
    pub(super) fn changes_after(&self, version: u64, limit: usize) -> Result<Vec<Change>, Expired> {
        self.check(version)?;
        let start = self.changes.partition_point(|change| change.version <= version);
        Ok(self.changes.range(start..).take(limit).cloned().collect())
    }

    fn check(&self, version: u64) -> Result<(), Expired> {
        let compacted = self.compacted;
        if version < compacted { Err(Expired { version, compacted }) } else { Ok(()) }
    }

    fn exists(&self, key: &Key) -> bool {
        let last = self.objects.get(key).and_then(|revisions| revisions.last());
        last.is_some_and(|revision| revision.body.is_some())
    }

    /// The object with the next version in it.
    fn stamp(&self, object: &mut Value) -> Bytes {
        object["metadata"]["resourceVersion"] = (self.latest + 1).to_string().into();
        object.to_string().into()
    }

    fn record(&mut self, key: Key, verb: Verb, body: Bytes) -> u64 {
        self.latest += 1;
        let version = self.latest;
        let state = (verb != Verb::Deleted).then(|| body.clone());
        let revisions = self.objects.entry(key.clone()).or_default();
        revisions.push(Revision { version, body: state });
        self.changes.push_back(Change { version, verb, key, body });
        if self.changes.len() > self.limit {
            self.compact(self.changes[0].version);
        }
        version
    }

    /// Drops the versions of an object that no snapshot can show any more.
    fn prune(&mut self, key: &Key) {
        let Some(revisions) = self.objects.get_mut(key) else { return };
        let visible = revisions.partition_point(|revision| revision.version <= self.compacted);
        revisions.drain(..visible.saturating_sub(1));
        if matches!(revisions.as_slice(), [Revision { body: None, .. }]) {
            self.objects.remove(key);
        }
    }
}

fn at(revisions: &[Revision], version: u64) -> Option<Bytes> {
    let after = revisions.partition_point(|revision| revision.version <= version);
    revisions.get(after.checked_sub(1)?)?.body.clone()
}

fn key_of(object: &Value) -> Result<Key, NotNamed> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    match (text("/metadata/namespace"), text("/metadata/name")) {
        (Some(namespace), Some(name)) => Ok((namespace.to_owned(), name.to_owned())),
        _ => Err(NotNamed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name}})
    }

    fn history(names: &[&str]) -> History {
        let mut history = History::new(10, 1_000);
        for name in names {
            history.put(object("shop", name)).expect("named");
        }
        history
    }

    fn names(page: &Page) -> Vec<String> {
        let name = |body: &Bytes| {
            let object: Value = serde_json::from_slice(body).expect("JSON");
            format!(
                "{}@{}",
                object["metadata"]["name"].as_str().expect("a name"),
                object["metadata"]["resourceVersion"].as_str().expect("a version"),
            )
        };
        page.bodies.iter().map(name).collect()
    }

    #[test]
    fn a_list_shows_the_past_until_it_is_compacted() {
        let mut history = history(&["b", "a", "b"]);
        history.delete("shop", "a").expect("there");
        let list = |history: &History, version| {
            history.list(version, None, None, 10).map(|page| names(&page))
        };
        assert_eq!(list(&history, 10), Ok(vec![]));
        assert_eq!(list(&history, 12), Ok(vec!["a@12".into(), "b@11".into()]));
        assert_eq!(list(&history, 14), Ok(vec!["b@13".into()]));
        history.compact(13);
        assert_eq!(list(&history, 12), Err(Expired { version: 12, compacted: 13 }));
        assert_eq!(list(&history, 13), Ok(vec!["a@12".into(), "b@13".into()]));
        history.compact(14);
        assert_eq!(history.objects.len(), 1, "what is deleted and forgotten takes no room");
    }

    #[test]
    fn changes_come_in_order_and_say_what_happened() {
        let mut history = history(&["a", "b", "a"]);
        assert_eq!(history.delete("shop", "c"), None);
        history.delete("shop", "a");
        history.put(object("shop", "a")).expect("named");
        let told = |after| {
            let changes = history.changes_after(after, 10)?;
            Ok(changes.into_iter().map(|change| (change.version, change.verb)).collect())
        };
        let all = vec![
            (11, Verb::Added),
            (12, Verb::Added),
            (13, Verb::Modified),
            (14, Verb::Deleted),
            (15, Verb::Added),
        ];
        assert_eq!(told(12), Ok::<_, Expired>(all[2..].to_vec()));
        assert_eq!(told(10), Ok(all));
        assert_eq!(told(99), Ok(vec![]), "the future has not happened yet");
        assert_eq!(told(9), Err(Expired { version: 9, compacted: 10 }));
    }

    #[test]
    fn history_is_bounded() {
        let mut history = History::new(0, 3);
        for _ in 0..10 {
            history.put(object("shop", "a")).expect("named");
        }
        assert_eq!(history.changes_after(7, 10).map(|changes| changes.len()), Ok(3));
        assert_eq!(history.changes_after(6, 10).map(|changes| changes.len()).ok(), None);
        assert_eq!(history.objects.values().map(Vec::len).sum::<usize>(), 4);
    }

    #[test]
    fn an_object_without_a_name_is_refused() {
        assert_eq!(History::new(0, 1).put(json!({"metadata": {"name": "a"}})), Err(NotNamed));
        assert_eq!(History::new(0, 1).put(json!(null)), Err(NotNamed));
    }
}
