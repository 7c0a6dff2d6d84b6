//! Resident memory of another process, as its kernel counts it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Watches a process until it is dropped, or the process ends.
pub(crate) struct Watch {
    process: u32,
    seen: Arc<Seen>,
    sampler: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    sum: AtomicU64,
    samples: AtomicU64,
    highest: AtomicU64,
    ended: AtomicBool,
}

/// Memory during a phase, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// At its end.
    pub(crate) now: u64,
    /// Of that, what belongs to no file: without the program itself.
    pub(crate) anonymous: u64,
    /// On average.
    pub(crate) mean: u64,
    /// At most: the kernel's own mark where it can be set back, else the highest of the samples.
    pub(crate) peak: u64,
}

impl Watch {
    pub(crate) fn of(process: u32) -> Self {
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        let sampler = std::thread::spawn(move || {
            while !shared.ended.load(Ordering::Relaxed) {
                if let Some(bytes) = field(process, "VmRSS:") {
                    shared.sum.fetch_add(bytes, Ordering::Relaxed);
                    shared.samples.fetch_add(1, Ordering::Relaxed);
                    shared.highest.fetch_max(bytes, Ordering::Relaxed);
                }
                std::thread::sleep(INTERVAL);
            }
        });
        Self { process, seen, sampler: Some(sampler) }
    }

    /// Ends a phase and begins the next.
    pub(crate) fn phase(&self) -> Memory {
        let now = field(self.process, "VmRSS:").unwrap_or_default();
        let anonymous = field(self.process, "RssAnon:").unwrap_or_default();
        let mark = field(self.process, "VmHWM:").unwrap_or_default();
        let (sum, samples) = (
            self.seen.sum.swap(0, Ordering::Relaxed),
            self.seen.samples.swap(0, Ordering::Relaxed),
        );
        let highest = self.seen.highest.swap(0, Ordering::Relaxed).max(now);
        // 5 sets the mark back to what is resident now.
        let reset = std::fs::write(place(self.process, "clear_refs"), "5");
        let peak = if reset.is_ok() { mark.max(highest) } else { highest };
        Memory { now, anonymous, mean: sum.checked_div(samples).unwrap_or(now), peak }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::Relaxed);
        if let Some(sampler) = self.sampler.take() {
            // It cannot panic.
            drop(sampler.join());
        }
    }
}

fn place(process: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/{file}"))
}

fn field(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(place(process, "status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
