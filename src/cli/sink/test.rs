//! `sink test`: one marked event, and what the service says to it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::output::{self, Format, OutputArgs, Palette, Tone};
use crate::cli::target::ServerArgs;
use crate::cli::wait_for;
use crate::config::{Config, Loaded};
use crate::relay;
use crate::sink::{Trial, TrialOutcome};

/// Arguments of `sink test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Name of the sink
    #[arg(value_name = "SINK")]
    sink: String,
    /// Send it from here, with the sink of this configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Not possible
    #[arg(long, value_name = "DIR", hide = true)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &TestArgs) -> Result<(), Failure> {
    if args.data_dir.is_some() {
        let reason = "`sink test` needs a running relay (--server), or the configuration of a sink (--config FILE)";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let trial = if let Some(file) = &args.config {
        from_here(&args.sink, Config::from_file(file)?)?
    } else {
        let client = args.server.client().map_err(Failure::failed)?;
        wait_for(client.test_sink(&args.sink))?
    };
    let text = match args.output.output {
        Format::Json => output::json(&trial).map_err(Failure::failed)?,
        Format::Table => show(&trial, Palette::of_stdout()),
    };
    output::print(&text).map_err(Failure::failed)?;
    match trial.outcome {
        TrialOutcome::Accepted => Ok(()),
        _ => {
            Err(Failure::failed(format_args!("the test event did not get through {}", trial.sink)))
        }
    }
}

fn from_here(name: &str, loaded: Loaded) -> Result<Trial, Failure> {
    let config = loaded.config;
    let Some(sink) = config.sinks.iter().find(|sink| sink.name == name) else {
        let known: Vec<_> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        let known = known.join(", ");
        return Err(Failure::failed(format_args!("there is no sink {name:?}; there are: {known}")));
    };
    wait_for(relay::try_sink(&config.cluster, &config.source, sink))
}

fn show(trial: &Trial, palette: Palette) -> String {
    let Trial { sink, kind, outcome, cause, answers, seconds } = trial;
    let (tone, outcome) = match outcome {
        TrialOutcome::Accepted => (Tone::Good, "accepted"),
        TrialOutcome::Refused => {
            (Tone::Bad, "refused; a record like it would become a dead letter")
        }
        TrialOutcome::Later => (Tone::Warning, "not now; the relay would try again by itself"),
        TrialOutcome::Held => (Tone::Bad, "the relay would hold the sink until this is solved"),
    };
    let mut lines = vec![format!("sink     {sink} ({kind})")];
    lines.push(palette.paint(tone, &format!("outcome  {outcome}")));
    lines.extend(cause.iter().map(|cause| format!("cause    {}", output::one_line(cause))));
    lines.extend(answers.iter().map(|answer| format!("answer   {}", output::one_line(answer))));
    lines.push(format!("took     {seconds:.3} s\n"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_shown_line_by_line() {
        let trial = Trial {
            sink: "oncall".into(),
            kind: "dingtalk".into(),
            outcome: TrialOutcome::Held,
            cause: Some("310000: sign not match; check the option `sign`".into()),
            answers: vec!["HTTP 200 OK: {\"errcode\":310000}".into()],
            seconds: 0.0421,
        };
        let expected = "\
sink     oncall (dingtalk)
outcome  the relay would hold the sink until this is solved
cause    310000: sign not match; check the option `sign`
answer   HTTP 200 OK: {\"errcode\":310000}
took     0.042 s
";
        assert_eq!(show(&trial, Palette::plain()), expected);
    }
}
