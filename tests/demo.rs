//! `demo` keeps its promise, and leaves nothing behind however it ends.

#![allow(clippy::expect_used)] // in a test it is an assertion

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Starts the demo with `temporary` as the place of its files.
fn demo(temporary: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kube-event-relay"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).expect("readable").next().is_none()
}

#[test]
fn every_event_arrives_although_a_receiver_is_down_for_a_while() {
    let temporary = tempfile::tempdir().expect("room");
    let output = demo(temporary.path(), &["--duration", "3s", "--rate", "60"])
        .wait_with_output()
        .expect("it ends");
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    for line in ["generated   240 events", "goes down", "is back", "DOWN", "every event arrived"] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    for sink in ["oncall      240 received", "archive     240 received"] {
        assert!(text.contains(sink), "{sink} in\n{text}");
    }
    assert!(is_empty(temporary.path()), "a file is left behind");
}

#[test]
fn a_signal_ends_it_and_nothing_is_left_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let temporary = tempfile::tempdir().expect("room");
        let mut child = demo(temporary.path(), &["--duration", "1h"]);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let running = lines.by_ref().any(|line| line.expect("UTF-8").contains("0 behind"));
        assert!(running, "it ended by itself");
        assert!(!is_empty(temporary.path()), "its data is where TMPDIR says");
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        // The pipe is read to its end so that the program can write its last lines.
        lines.for_each(drop);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("nothing is left behind"), "{}", text(&output));
        assert!(is_empty(temporary.path()), "a file is left behind");
    }
}
