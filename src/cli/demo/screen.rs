//! Shows the demo: progress bars on a terminal, otherwise a line every second.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::scene::{ReceiverScene, Scene};
use crate::cli::output::{self, Palette, Tone};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Columns of a bar.
const BAR: &str = "{prefix:>9} [{bar:40}] {msg}";
const BAR_GOOD: &str = "{prefix:>9} [{bar:40.green}] {msg}";
const BAR_BEHIND: &str = "{prefix:>9} [{bar:40.yellow}] {msg}";
const BAR_DOWN: &str = "{prefix:>9} [{bar:40.red}] {msg}";

/// Standard output, in one of its two forms.
pub(super) enum Screen {
    /// A terminal.
    Bars(Box<Bars>),
    /// A file, a pipe, a log.
    Lines {
        /// When the next line is due.
        next: Duration,
    },
}

/// Bars at the bottom of a terminal; text scrolls above them.
pub(super) struct Bars {
    all: MultiProgress,
    time: ProgressBar,
    receivers: Vec<ProgressBar>,
    palette: Palette,
}

impl Screen {
    /// The form that suits standard output; `duration` is how long events are generated.
    pub(super) fn new(duration: Duration, receivers: &[&'static str]) -> Self {
        if io::stdout().is_terminal() {
            Self::Bars(Box::new(Bars::new(duration, receivers)))
        } else {
            Self::Lines { next: Duration::ZERO }
        }
    }

    /// Writes text that stays.
    pub(super) fn say(&self, tone: Tone, text: &str) -> io::Result<()> {
        match self {
            Self::Bars(bars) => {
                bars.all.suspend(|| output::print(&(bars.palette.paint(tone, text) + "\n")))
            }
            Self::Lines { .. } => output::print(&format!("{text}\n")),
        }
    }

    /// Shows how things stand.
    pub(super) fn show(&mut self, scene: &Scene) -> io::Result<()> {
        match self {
            Self::Bars(bars) => {
                bars.show(scene);
                Ok(())
            }
            Self::Lines { next } if scene.elapsed >= *next => {
                *next = scene.elapsed + LINE_INTERVAL;
                output::print(&(scene.line() + "\n"))
            }
            Self::Lines { .. } => Ok(()),
        }
    }

    /// Shows how things stand for the last time, and leaves it there.
    pub(super) fn finish(&mut self, scene: &Scene) -> io::Result<()> {
        match self {
            Self::Bars(bars) => {
                bars.show(scene);
                bars.time.abandon();
                bars.receivers.iter().for_each(ProgressBar::abandon);
                Ok(())
            }
            Self::Lines { .. } => output::print(&(scene.line() + "\n")),
        }
    }
}

impl Bars {
    fn new(duration: Duration, receivers: &[&'static str]) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let bar = |name: &'static str, length| {
            all.add(ProgressBar::new(length).with_style(style(BAR)).with_prefix(name))
        };
        let time = bar("events", milliseconds(duration));
        let receivers = receivers.iter().map(|name| bar(name, 1)).collect();
        Self { all, time, receivers, palette: Palette::of_stdout() }
    }

    fn show(&self, scene: &Scene) {
        self.time.set_position(milliseconds(scene.elapsed));
        let elapsed = output::duration(scene.elapsed);
        self.time.set_message(format!("{} in {elapsed}", scene.events()));
        for (bar, receiver) in self.receivers.iter().zip(&scene.receivers) {
            bar.set_length(scene.generated.max(1));
            bar.set_position(receiver.received);
            bar.set_style(style(colour(receiver, scene.generated)));
            bar.set_message(message(receiver, scene.generated));
        }
    }
}

fn colour(receiver: &ReceiverScene, generated: u64) -> &'static str {
    match receiver {
        ReceiverScene { open: false, .. } => BAR_DOWN,
        // A few events are always on their way.
        _ if receiver.behind(generated) > generated / 20 => BAR_BEHIND,
        _ => BAR_GOOD,
    }
}

fn message(receiver: &ReceiverScene, generated: u64) -> String {
    let behind = output::count(receiver.behind(generated));
    format!("{} received, {behind} behind, {}", output::count(receiver.received), receiver.state())
}

/// The templates are constants of this file; a bad one would show as the crate's own default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_valid() {
        for template in [BAR, BAR_GOOD, BAR_BEHIND, BAR_DOWN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_receiver_that_is_down_is_red_and_one_that_lags_is_yellow() {
        let receiver = |open, received| {
            let scene = ReceiverScene { name: "oncall", open, received, doing: "idle".into() };
            colour(&scene, 100)
        };
        assert_eq!(receiver(false, 100), BAR_DOWN);
        assert_eq!(receiver(true, 90), BAR_BEHIND);
        assert_eq!(receiver(true, 98), BAR_GOOD);
    }
}
