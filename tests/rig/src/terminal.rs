//! A program at a terminal, as somebody sees it who sits there.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Generous: a wait that ends with what is waited for costs nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program whose standard input, output and error are one terminal. It is killed when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    /// Starts a program at a terminal with so many columns.
    pub fn start(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        columns: u16,
    ) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(master.as_fd(), size).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("UTF-8");
        let other = OpenOptions::new().read(true).write(true).open(name).expect("its other side");
        let end = || Stdio::from(other.try_clone().expect("another one"));
        let child = Command::new(program.as_ref())
            .args(arguments)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the program starts");
        let keyboard = File::from(master);
        let screen = read(keyboard.try_clone().expect("another one"));
        Self { child, keyboard, screen, seen: Vec::new() }
    }

    /// Waits until this is on the screen, and returns all that was written up to now.
    pub fn until(&mut self, wanted: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        while !self.text().contains(wanted) {
            match self.screen.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(RecvTimeoutError::Timeout) => panic!("no {wanted:?} in {:?}", self.text()),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without {wanted:?}: {:?}", self.text())
                }
            }
        }
        self.text()
    }

    /// Types a line.
    pub fn answer(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("typed");
    }

    /// Process number of the program.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the program, and returns all that it wrote.
    #[must_use]
    pub fn end(mut self) -> (ExitStatus, String) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.screen.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.text()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait().expect("ended");
        (status, self.text())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).replace("\r\n", "\n")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Reading fails once nobody has the other side open any more.
fn read(mut master: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
