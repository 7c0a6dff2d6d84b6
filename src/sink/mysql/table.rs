//! The table: what it is like, and how it is made.
//!
//! A table of kube-eventer is taken as it is. One with a `record_id` stores each record once.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

/// Numbered steps; the table's name stands in place of `{table}`.
const STEPS: [&str; 1] = [include_str!("../../../migrations/mysql/0001-kube-event.sql")];

/// Column of a record's identity.
pub(super) const IDENTITY: &str = "record_id";

/// The name of a table, perhaps with that of its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    database: Option<String>,
    table: String,
}

/// What there is room for in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Column {
    /// Characters of a `VARCHAR`, bytes of a `TEXT`.
    length: Option<u64>,
    is_text: bool,
    /// `utf8` of old is three bytes wide at most.
    is_narrow: bool,
}

/// A table that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table(HashMap<String, Column>);

impl TableName {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.replace('`', "");
        match text.split_once('.') {
            Some((database, table)) => {
                Self { database: Some(database.to_owned()), table: table.to_owned() }
            }
            None => Self { database: None, table: text },
        }
    }

    /// As it stands in a statement.
    pub(super) fn quoted(&self) -> String {
        match &self.database {
            Some(database) => format!("`{database}`.`{}`", self.table),
            None => format!("`{}`", self.table),
        }
    }
}

impl Table {
    /// Looks the table up, and makes it when it is not there.
    pub(super) async fn ensure(
        connection: &mut Conn,
        name: &TableName,
        database: &str,
    ) -> Result<Self, Error> {
        let table = Self::look_up(connection, name, database).await?;
        if !table.0.is_empty() {
            return Ok(table);
        }
        for step in STEPS {
            connection.query_drop(step.replace("{table}", &name.quoted())).await?;
        }
        Self::look_up(connection, name, database).await
    }

    async fn look_up(
        connection: &mut Conn,
        name: &TableName,
        database: &str,
    ) -> Result<Self, Error> {
        type Row = (String, String, Option<u64>, Option<String>);
        let database = name.database.as_deref().unwrap_or(database);
        let rows: Vec<Row> = connection
            .exec(
                "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, CHARACTER_SET_NAME \
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                (database, &name.table),
            )
            .await?;
        let column = |(name, kind, length, charset): Row| {
            let is_text = kind.to_ascii_lowercase().contains("text");
            let is_narrow = charset.is_some_and(|it| it == "utf8" || it == "utf8mb3");
            (name.to_ascii_lowercase(), Column { length, is_text, is_narrow })
        };
        Ok(Self(rows.into_iter().map(column).collect()))
    }

    /// Whether it knows the identity of records.
    pub(super) fn has_identity(&self) -> bool {
        self.0.contains_key(IDENTITY)
    }

    /// As much of a value as the column has room for.
    pub(super) fn fit(&self, column: &str, mut value: String) -> String {
        let Some(column) = self.0.get(column) else { return value };
        if column.is_narrow && value.chars().any(|character| character.len_utf8() > 3) {
            value = value.chars().map(narrow).collect();
        }
        let Some(length) = column.length.and_then(|length| usize::try_from(length).ok()) else {
            return value;
        };
        if column.is_text {
            return crate::event::render::cut(&value, length).into_owned();
        }
        if value.char_indices().nth(length).is_none() {
            return value;
        }
        let kept: String = value.chars().take(length.saturating_sub(1)).collect();
        kept + "…"
    }
}

fn narrow(character: char) -> char {
    if character.len_utf8() > 3 { char::REPLACEMENT_CHARACTER } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(length: u64, is_text: bool, is_narrow: bool) -> Table {
        let column = Column { length: Some(length), is_text, is_narrow };
        Table([("message".to_owned(), column)].into())
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(TableName::parse("kube_event").quoted(), "`kube_event`");
        assert_eq!(TableName::parse("ops.`x`; DROP").quoted(), "`ops`.`x; DROP`");
    }

    #[test]
    fn values_are_cut_to_what_a_column_holds() {
        let fit = |table: Table, text: &str| table.fit("message", text.to_owned());
        assert_eq!(fit(table(4, false, false), "日本語文"), "日本語文");
        assert_eq!(fit(table(4, false, false), "日本語文字"), "日本語…");
        assert_eq!(fit(table(9, true, false), "日本語文"), "日本…");
        assert_eq!(fit(table(9, true, true), "a🤒b"), "a\u{fffd}b");
    }
}
