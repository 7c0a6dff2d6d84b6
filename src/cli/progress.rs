//! Bars of what takes its time. They are on standard error, and only where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a relay is asked how far it is.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);

/// An empty bar: `replay 3 [####    ] 17 of 40 records, running`.
pub(super) fn bar(what: &str, unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let template = format!("{{prefix}} [{{bar:40}}] {{pos}} of {{len}} {unit}{{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}

/// Something turns as long as a change waits for the delivery that is under way, which may take its whole time-out.
pub(super) fn waiting() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::default_spinner());
    bar.set_message("waiting for the delivery that is under way");
    bar.enable_steady_tick(INTERVAL);
    bar
}
