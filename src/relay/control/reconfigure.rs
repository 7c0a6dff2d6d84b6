//! Other sinks for a running relay.

use std::collections::BTreeSet;

use super::{Change, ControlError, Order};
use crate::relay::RelayHandle;
use crate::relay::destination::{Destination, build_all};
use crate::relay::outflows::Posts;
use crate::sink::SinkConfig;

/// Which sinks differ, by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    added: BTreeSet<String>,
    changed: BTreeSet<String>,
    removed: BTreeSet<String>,
}

impl RelayHandle {
    /// Gives the relay these sinks. Those that stay as they are notice nothing; one that is changed is halted,
    /// and goes on with its cursor; of one that is removed the cursor is kept until it is forgotten. When one
    /// cannot be built, nothing changes.
    pub async fn reconfigure(
        &self,
        sinks: &[SinkConfig],
        order: &Order,
    ) -> Result<Change, ControlError> {
        let mut posts = self.outflows.lock().await;
        let built = build_all(sinks, self.outflows.provisions());
        let destinations = built.map_err(|error| ControlError::Refused(error.to_string()))?;
        let difference = Difference::between(&posts, sinks);
        let change = difference.describe(&posts, sinks, order.dry_run);
        change.note(&self.shared.state, order).await?;
        if order.dry_run || difference == Difference::default() {
            return Ok(change);
        }
        let added: Vec<_> = difference.added.iter().map(String::as_str).collect();
        self.shared.place_new_sinks(&added).await?;
        for name in difference.removed.iter().chain(&difference.changed) {
            if let Some(mut post) = posts.remove(name) {
                post.halt().await;
            }
        }
        difference.removed.iter().for_each(|name| self.shared.remove_sink(name));
        let is_new = |one: &Destination| !posts.contains_key(&one.identity.name);
        let new: Vec<_> = destinations.into_iter().filter(is_new).collect();
        for destination in new {
            self.outflows.add(&mut posts, destination);
        }
        Ok(change)
    }
}

impl Difference {
    fn between(posts: &Posts, sinks: &[SinkConfig]) -> Self {
        let mut difference = Self::default();
        for sink in sinks {
            let name = sink.name.clone();
            match posts.get(&name) {
                None => drop(difference.added.insert(name)),
                Some(post) if post.config != *sink => drop(difference.changed.insert(name)),
                Some(_) => {}
            }
        }
        let stays = |name: &&String| sinks.iter().any(|sink| sink.name == **name);
        difference.removed = posts.keys().filter(|name| !stays(name)).cloned().collect();
        difference
    }

    fn describe(&self, posts: &Posts, sinks: &[SinkConfig], dry_run: bool) -> Change {
        let parts = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed (its cursor is kept)", &self.removed),
        ];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let effects: Vec<_> =
            parts.map(|(what, names)| format!("{what}: {}", list(names.iter()))).collect();
        let effect =
            if effects.is_empty() { "nothing changes".to_owned() } else { effects.join("; ") };
        Change {
            action: "config reload".to_owned(),
            subject: "sinks".to_owned(),
            before: list(posts.keys()),
            after: list(sinks.iter().map(|sink| &sink.name)),
            effect,
            dry_run,
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<_> = names.map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}
