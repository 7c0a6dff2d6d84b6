//! The plot: events happen, a receiver goes down and comes back, everything arrives.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::DemoError;
use super::screen::Screen;
use super::stage::{ARCHIVE, ONCALL, Stage};
use super::workload::Pace;
use crate::cli::output::{self, Tone};

/// How often events are made and the screen is drawn.
const TICK: Duration = Duration::from_millis(50);

/// How long the backlog may take to drain after the last event.
const SETTLE: Duration = Duration::from_secs(60);

/// Resource versions that are named when they are missing.
const MISSING_SHOWN: usize = 5;

/// What the receiver does at a certain time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// It takes everything.
    Before,
    /// Its port is closed.
    Outage,
    /// It is back.
    After,
}

/// The middle third is the outage.
fn act(elapsed: Duration, duration: Duration) -> Act {
    if elapsed < duration / 3 {
        Act::Before
    } else if elapsed < duration * 2 / 3 {
        Act::Outage
    } else {
        Act::After
    }
}

/// Plays it to the end and says how it went.
pub(super) async fn play(
    stage: &mut Stage,
    screen: &mut Screen,
    duration: Duration,
    pace: Pace,
) -> Result<(), DemoError> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let elapsed = start.elapsed();
        stage.generate(pace.due(elapsed.min(duration)))?;
        follow(act(elapsed, duration), stage, screen).await?;
        let scene = stage.look(elapsed, elapsed < duration)?;
        if elapsed < duration || (!stage.is_complete() && elapsed < duration + SETTLE) {
            screen.show(&scene)?;
            continue;
        }
        screen.finish(&scene)?;
        return report(stage);
    }
}

async fn follow(act: Act, stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    match (act, stage.oncall.is_open()) {
        (Act::Outage, true) => {
            stage.oncall.shut().await.map_err(DemoError::Network)?;
            let text = format!("-- the receiver of {ONCALL} goes down: its backlog grows");
            screen.say(Tone::Bad, &text)?;
        }
        (Act::After, false) => {
            stage.oncall.reopen().map_err(DemoError::Network)?;
            let text = format!("-- the receiver of {ONCALL} is back: its backlog drains");
            screen.say(Tone::Good, &text)?;
        }
        _ => {}
    }
    Ok(())
}

/// Compares what was generated with what came in, event by event.
fn report(stage: &Stage) -> Result<(), DemoError> {
    let generated = output::count(stage.generated());
    output::print(&format!("\ngenerated   {generated} events\n"))?;
    let mut missing = Vec::new();
    for (name, receiver) in [(ONCALL, &stage.oncall), (ARCHIVE, &stage.archive)] {
        let (received, duplicates) = (receiver.ledger().distinct(), receiver.ledger().duplicates());
        print_receiver(name, received, duplicates)?;
        missing.extend(describe_missing(name, &stage.missing_at(receiver)));
    }
    if missing.is_empty() {
        return Ok(output::print("every event arrived\n")?);
    }
    Err(DemoError::Missing(missing.join("; ")))
}

fn print_receiver(name: &str, received: u64, duplicates: u64) -> io::Result<()> {
    let (received, duplicates) = (output::count(received), output::plural(duplicates, "duplicate"));
    output::print(&format!("{name:<10}  {received} received, {duplicates}\n"))
}

fn describe_missing(name: &str, versions: &[u64]) -> Option<String> {
    let first = versions.iter().take(MISSING_SHOWN).map(u64::to_string);
    let first = first.collect::<Vec<_>>().join(", ");
    let missing = output::plural(versions.len() as u64, "event");
    (!versions.is_empty()).then(|| format!("{name} lacks {missing} (resourceVersion {first} …)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outage_is_the_middle_third() {
        let duration = Duration::from_secs(30);
        let at = |seconds| act(Duration::from_secs(seconds), duration);
        assert_eq!([at(0), at(9)], [Act::Before; 2]);
        assert_eq!([at(10), at(19)], [Act::Outage; 2]);
        assert_eq!([at(20), at(99)], [Act::After; 2]);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(describe_missing("oncall", &[]), None);
        assert_eq!(
            describe_missing("oncall", &[1, 2, 3, 4, 5, 6]).as_deref(),
            Some("oncall lacks 6 events (resourceVersion 1, 2, 3, 4, 5 …)")
        );
    }
}
