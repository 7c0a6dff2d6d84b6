//! How commands print: tables for people, JSON for programs, sizes and ages in few characters.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, presets};
use jiff::Timestamp;
use serde::Serialize;

use crate::relay::Change;

/// The option `-o`.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// A table for people, or JSON for programs
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}

/// A form of output of what is also a page of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PageFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// The page.
    Markdown,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: the same JSON as the admin API's.
    Json,
}

/// How alarming a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// All is well.
    Good,
    /// Nothing special.
    Plain,
    /// Worth a look.
    Warning,
    /// Somebody should act.
    Bad,
}

/// Whether and how lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    colour: bool,
}

impl Palette {
    /// Colour when standard output is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
    #[must_use]
    pub fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: io::stdout().is_terminal() && !unwanted }
    }

    /// No colour at all.
    #[must_use]
    pub const fn plain() -> Self {
        Self { colour: false }
    }

    /// Always colour.
    #[must_use]
    pub const fn coloured() -> Self {
        Self { colour: true }
    }

    /// The line in its colour.
    #[must_use]
    pub fn paint(self, tone: Tone, line: &str) -> String {
        let code = match tone {
            Tone::Plain => return line.to_owned(),
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
        };
        if self.colour { format!("\u{1b}[{code}m{line}\u{1b}[0m") } else { line.to_owned() }
    }
}

/// Rows under headings, aligned, one line each.
#[derive(Debug)]
pub struct Table {
    table: comfy_table::Table,
    tones: Vec<Tone>,
}

impl Table {
    /// A table with these headings. Columns whose heading begins with `>` are aligned to the right.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
        for (column, heading) in table.column_iter_mut().zip(headings) {
            column.set_padding((0, 2));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { table, tones: Vec::new() }
    }

    /// Adds a row. Control characters and line breaks in it become spaces.
    pub fn row<const N: usize>(&mut self, tone: Tone, cells: [String; N]) {
        self.table.add_row(cells.map(|cell| one_line(&cell)));
        self.tones.push(tone);
    }

    /// The lines, each ended by a line break.
    #[must_use]
    pub fn render(&self, palette: Palette) -> String {
        let tones = std::iter::once(Tone::Plain).chain(self.tones.iter().copied());
        let lines = self.table.lines().zip(tones);
        lines.map(|(line, tone)| palette.paint(tone, line.trim_end()) + "\n").collect()
    }
}

/// Text of a service on one line, without control characters that could drive the terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A change of the relay, line by line.
#[must_use]
pub fn change(change: &Change) -> String {
    let Change { action, subject, before, after, effect, dry_run } = change;
    let note = if *dry_run { " (nothing was done)" } else { "" };
    format!("{action} {subject}{note}\nbefore  {before}\nafter   {after}\neffect  {effect}\n")
}

/// JSON, indented, ended by a line break.
pub fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Writes to standard output. A reader that has gone away (`| head`) is not an error.
pub fn print(text: &str) -> io::Result<()> {
    is_read(text).map(drop)
}

/// Writes to standard output, and says whether somebody still reads it.
pub fn is_read(text: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// A duration in its two largest units: `12s`, `2m 13s`, `2h 13m`, `3d 4h`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    if seconds < MINUTE {
        format!("{seconds}s")
    } else if seconds < HOUR {
        format!("{}m {}s", seconds / MINUTE, seconds % MINUTE)
    } else if seconds < DAY {
        format!("{}h {}m", seconds / HOUR, seconds % HOUR / MINUTE)
    } else {
        format!("{}d {}h", seconds / DAY, seconds % DAY / HOUR)
    }
}

/// How long ago a time was; a time that is not yet reached was just now.
#[must_use]
pub fn since(then: Timestamp, now: Timestamp) -> String {
    duration(Duration::try_from(now.duration_since(then)).unwrap_or_default())
}

/// `12s ago`, or `-` for never.
#[must_use]
pub fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| "-".to_owned(), |then| since(then, now) + " ago")
}

/// A size with one decimal: `1.2 GiB`, `512 B`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = ["TiB", "GiB", "MiB", "KiB"];
    for (unit, shift) in units.iter().zip([40u32, 30, 20, 10]) {
        if bytes >> shift > 0 {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// A number with separators: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2 records`.
#[must_use]
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (133, "2m 13s"),
            (7_980, "2h 13m"),
            (86_399, "23h 59m"),
            (273_600, "3d 4h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_time_in_the_future_is_just_now() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(since(now + Duration::from_secs(5), now), "0s");
        assert_eq!(ago(None, now), "-");
    }

    #[test]
    fn sizes_and_counts_are_short() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_288_490_188), "1.1 GiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(plural(1, "record"), "1 record");
        assert_eq!(plural(0, "record"), "0 records");
    }

    #[test]
    fn rows_are_aligned_and_cannot_drive_the_terminal() {
        let mut table = Table::new(&["NAME", ">LAG"]);
        table.row(Tone::Plain, ["oncall".into(), "1,204".into()]);
        table.row(Tone::Bad, ["a\u{1b}[2J\nb".into(), "0".into()]);
        let plain = "NAME       LAG\noncall   1,204\na [2J b      0\n";
        assert_eq!(table.render(Palette::plain()), plain);
        let coloured = table.render(Palette::coloured());
        assert_eq!(coloured.matches("\u{1b}[31m").count(), 1, "{coloured:?}");
    }

    #[test]
    fn a_change_is_shown_line_by_line() {
        let sought = Change {
            action: "cursor seek".into(),
            subject: "oncall".into(),
            before: "all-namespaces 0.41".into(),
            after: "all-namespaces 0.12".into(),
            effect: "29 records are delivered again".into(),
            dry_run: true,
        };
        let expected = "\
cursor seek oncall (nothing was done)
before  all-namespaces 0.41
after   all-namespaces 0.12
effect  29 records are delivered again
";
        assert_eq!(change(&sought), expected);
    }
}
