//! `log verify`: a page for people, JSON for programs, and one line with the exit code.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::output::{self, Format, OutputArgs, Palette, Table, Tone};
use crate::cli::target::{ReadError, TargetArgs};
use crate::cli::{progress, wait_for};
use crate::log::Progress;
use crate::relay::{CopyVerification, DamageStatus, HoleStatus, StreamVerification, Verification};

/// Arguments of `log verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Which relay.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Where copies of segments are made, with room for one (about 10 MiB); the system's directory for
    /// temporary files unless given
    #[arg(long, value_name = "DIR", requires = "data_dir")]
    pub scratch: Option<PathBuf>,
    /// In which form.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs the command and prints its result.
pub(super) fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    silence_sled();
    let found = wait_for(verify(&args.target, scratch))?;
    let text = match args.output.output {
        Format::Json => output::json(&found).map_err(Failure::failed)?,
        Format::Table => page(&found, Palette::of_stdout()),
    };
    output::print(&text).map_err(Failure::failed)?;
    let problems = problems(&found);
    let Some(first) = problems.first() else { return Ok(()) };
    let more = match problems.len() {
        1 => String::new(),
        count => format!(" ({} more)", count - 1),
    };
    Err(Failure::failed(format_args!("{first}{more}")))
}

/// Looks for damage, and shows how far that is.
async fn verify(target: &TargetArgs, scratch: PathBuf) -> Result<Verification, ReadError> {
    let progress = Arc::new(Progress::default());
    let found = target.verify(scratch, progress.clone());
    tokio::pin!(found);
    let bar = progress::bar("verify", "segments");
    let mut looks = tokio::time::interval(progress::INTERVAL);
    loop {
        tokio::select! {
            found = &mut found => {
                bar.finish_and_clear();
                return found;
            }
            _ = looks.tick(), if !bar.is_hidden() => {
                if let Some((read, segments)) = reached(target, &progress).await {
                    bar.set_length(segments);
                    bar.set_position(read);
                }
            }
        }
    }
}

/// Segments that were read, and that there are. A relay that does not say so may say it later.
async fn reached(target: &TargetArgs, progress: &Progress) -> Option<(u64, u64)> {
    if target.data_dir.is_some() {
        return progress.get();
    }
    let verifying = target.status().await.ok()?.log.verifying?;
    Some((verifying.segments_read, verifying.segments))
}

/// sled panics at some damage. That is caught, and reported as damage: what it says meanwhile helps nobody.
fn silence_sled() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("/sled-")) {
            usual(panic);
        }
    }));
}

/// The verdict, then what was read.
fn page(found: &Verification, palette: Palette) -> String {
    let verdict: String = match problems(found) {
        none if none.is_empty() => {
            let line = "ok: everything is as it was written, and nothing is missing";
            palette.paint(Tone::Good, line) + "\n"
        }
        some => some.iter().map(|text| bad(text, palette)).collect(),
    };
    let kept: String = found.streams.iter().filter_map(|stream| kept(stream, palette)).collect();
    let heading = format!("data directory {}\n", output::one_line(&found.directory));
    [heading, verdict + &kept, streams(found, palette), state(found, palette)].join("\n")
}

fn bad(text: &str, palette: Palette) -> String {
    palette.paint(Tone::Bad, &format!("!! {}", output::one_line(text))) + "\n"
}

/// Everything that is not as it should be, in one line each.
fn problems(found: &Verification) -> Vec<String> {
    let streams = found.streams.iter().flat_map(|stream| {
        let holes = stream.holes.iter().map(|hole| of_hole(&stream.stream, hole));
        stream.damages.iter().map(of_damage).chain(holes)
    });
    streams.chain(found.state.iter().filter_map(of_copy)).collect()
}

fn of_damage(damage: &DamageStatus) -> String {
    let DamageStatus { stream, segment, reason, action, .. } = damage;
    let segment = segment.as_ref().map_or_else(String::new, |name| format!(", segment {name}"));
    let missing = match damage.records_missing {
        Some(0) => String::new(),
        count => missing(count, damage.after.as_deref(), damage.until.as_deref()),
    };
    format!("stream {stream}{segment}: {reason}{missing}; {action}")
}

fn of_hole(stream: &str, hole: &HoleStatus) -> String {
    let missing = missing(Some(hole.records_missing), hole.after.as_deref(), Some(&hole.until));
    format!(
        "stream {stream}: a segment is missing{missing}; a running relay reads again what the API server \
         still has, unless it does not watch this stream any more"
    )
}

/// `, 12 records after 0.7 and up to 0.40 may be missing`.
fn missing(count: Option<u64>, after: Option<&str>, until: Option<&str>) -> String {
    let records =
        count.map_or_else(|| "records".to_owned(), |count| output::plural(count, "record"));
    let after =
        after.map_or_else(|| "from the beginning".to_owned(), |after| format!("after {after}"));
    let until = until.map_or_else(|| "to the end".to_owned(), |until| format!("up to {until}"));
    format!(", {records} {after} and {until} may be missing")
}

fn of_copy(copy: &CopyVerification) -> Option<String> {
    let (reason, action) = copy.reason.as_ref().zip(copy.action.as_ref())?;
    Some(format!("state, {}: {reason}; {action}", copy.name))
}

fn kept(stream: &StreamVerification, palette: Palette) -> Option<String> {
    let segments = output::plural(stream.kept.len() as u64, "damaged segment");
    let line = format!(
        " ! stream {}: {segments} moved aside earlier: {}; remove what is not needed any more",
        stream.stream,
        stream.kept.join(", "),
    );
    (!stream.kept.is_empty()).then(|| palette.paint(Tone::Warning, &output::one_line(&line)) + "\n")
}

fn streams(found: &Verification, palette: Palette) -> String {
    let headings = ["STREAM", ">SEGMENTS", ">BLOCKS", ">RECORDS", ">BYTES", ">DAMAGED", ">HOLES"];
    let mut table = Table::new(&headings);
    for stream in &found.streams {
        let whole = stream.damages.is_empty() && stream.holes.is_empty();
        table.row(
            if whole { Tone::Plain } else { Tone::Bad },
            [
                stream.stream.clone(),
                output::count(stream.segments),
                output::count(stream.blocks),
                output::count(stream.records),
                output::size(stream.bytes),
                output::count(stream.damages.len() as u64),
                output::count(stream.holes.len() as u64),
            ],
        );
    }
    table.render(palette)
}

fn state(found: &Verification, palette: Palette) -> String {
    let mut table = Table::new(&["STATE", "VERDICT"]);
    for copy in &found.state {
        let (tone, verdict) =
            if copy.intact { (Tone::Plain, "intact") } else { (Tone::Bad, "DAMAGED") };
        table.row(tone, [copy.name.clone(), verdict.to_owned()]);
    }
    table.render(palette)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(name: &str, damage: Option<(&str, &str)>) -> CopyVerification {
        let (reason, action) = damage.unzip();
        CopyVerification {
            name: name.into(),
            intact: damage.is_none(),
            reason: reason.map(str::to_owned),
            action: action.map(str::to_owned),
        }
    }

    fn healthy() -> Verification {
        let stream = StreamVerification {
            stream: "all-namespaces".into(),
            segments: 310,
            blocks: 24_692,
            records: 1_234_567,
            bytes: 1_288_490_188,
            damages: vec![],
            holes: vec![],
            kept: vec![],
        };
        Verification {
            intact: true,
            directory: "/data".into(),
            streams: vec![stream],
            state: vec![copy("state", None), copy("cursors.json", None)],
        }
    }

    fn damaged() -> Verification {
        let mut found = healthy();
        let stream = &mut found.streams[0];
        stream.damages.push(DamageStatus {
            stream: "all-namespaces".into(),
            segment: Some("0.1201".into()),
            after: Some("0.1200".into()),
            until: Some("0.2399".into()),
            records_missing: Some(1_132),
            reason: "checksum does not match".into(),
            action: "left as it is".into(),
        });
        stream.damages.push(DamageStatus {
            segment: None,
            after: None,
            records_missing: None,
            ..stream.damages[0].clone()
        });
        stream.holes.push(HoleStatus { after: None, until: "0.7".into(), records_missing: 1 });
        stream.kept.push("0.1.damaged".into());
        found.state[1] = copy("cursors.json", Some(("it is damaged", "nothing is missing")));
        found
    }

    #[test]
    fn an_intact_log() {
        let expected = "\
data directory /data

ok: everything is as it was written, and nothing is missing

STREAM          SEGMENTS  BLOCKS    RECORDS    BYTES  DAMAGED  HOLES
all-namespaces       310  24,692  1,234,567  1.1 GiB        0      0

STATE         VERDICT
state         intact
cursors.json  intact
";
        assert_eq!(page(&healthy(), Palette::plain()), expected);
    }

    #[test]
    fn damage_is_named_with_its_place_range_reason_and_remedy() {
        let page = page(&damaged(), Palette::plain());
        for line in [
            "!! stream all-namespaces, segment 0.1201: checksum does not match, 1,132 records after 0.1200 \
             and up to 0.2399 may be missing; left as it is\n",
            "!! stream all-namespaces: checksum does not match, records from the beginning and up to 0.2399 \
             may be missing; left as it is\n",
            "!! stream all-namespaces: a segment is missing, 1 record from the beginning and up to 0.7 ",
            "!! state, cursors.json: it is damaged; nothing is missing\n",
            " ! stream all-namespaces: 1 damaged segment moved aside earlier: 0.1.damaged; ",
            "cursors.json  DAMAGED\n",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }
}
