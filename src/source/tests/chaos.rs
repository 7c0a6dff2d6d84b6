//! Random histories: whatever happens on the way, the log ends up with the newest version of every
//! event, in order, and nothing twice.
//!
//! `SOURCE_CHAOS_SEED` repeats one run.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::server::{Kind, Prepared, Server, Snapshot, TooOld};
use super::world::{MemoryLog, World};

const RUNS: u64 = 150;
const STEPS: usize = 60;

struct Chaos {
    server: Server,
    log: MemoryLog,
    world: Option<World>,
    snapshot: Option<Snapshot>,
    random: StdRng,
}

impl Chaos {
    async fn step(&mut self) {
        let name = format!("event-{}", self.random.random_range(0..8));
        let kind = [Kind::Probe, Kind::Page, Kind::Watch][self.random.random_range(0..3)];
        match self.random.random_range(0..21) {
            0..=7 => {
                self.server.put(&name);
            }
            8 => self.server.delete(&name),
            9 => self.server.compact(),
            10 => self.server.end_watches(true),
            11 => self.server.end_watches(false),
            12 => {
                let status = self.status();
                self.server.prepare(kind, Prepared::Status(status, None));
            }
            13 => self.server.send("{\"type\":\"ADDED\",\"obj"),
            14 => {
                let shapes = [TooOld::Status, TooOld::ErrorEvent, TooOld::EmptyClose];
                self.server.say_too_old_as(shapes[self.random.random_range(0..3)]);
            }
            15 => self.server.freeze(),
            16 => self.server.thaw(),
            17 => self.snapshot_or_restore().await,
            18 => self.stop_or_start().await,
            19 => self.crash().await,
            _ => {
                let seconds = self.random.random_range(0..400);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
        if self.random.random_range(0..3) == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn status(&mut self) -> u16 {
        [401, 403, 404, 410, 429, 500, 503, 504][self.random.random_range(0..8)]
    }

    /// A history that has caught up with the old one cannot be told from it, so a restore is given
    /// the time in which a probe notices it.
    async fn snapshot_or_restore(&mut self) {
        match self.snapshot.take() {
            Some(snapshot) if self.world.is_some() => {
                self.server.thaw();
                self.server.write_elsewhere(1000);
                self.settle().await;
                self.server.restore(snapshot);
                tokio::time::sleep(Duration::from_secs(600)).await;
            }
            _ => self.snapshot = Some(self.server.snapshot()),
        }
    }

    async fn stop_or_start(&mut self) {
        match self.world.take() {
            Some(world) => world.stop().await.expect("stopped"),
            None => self.start().await,
        }
    }

    async fn crash(&mut self) {
        if let Some(world) = self.world.take() {
            world.crash().await;
            self.log.forget_newest(self.random.random_range(0..4));
            self.start().await;
        }
    }

    async fn start(&mut self) {
        let known = crate::source::Known {
            complete_until: Some(jiff::Timestamp::now()),
            ..crate::source::Known::default()
        };
        let start = crate::source::Start::All;
        self.world = Some(World::start(&self.server, &self.log, start, known).await);
    }

    /// Lets everything calm down and makes sure that the newest event has arrived.
    async fn settle(&mut self) {
        self.server.thaw();
        if self.world.is_none() {
            self.start().await;
        }
        let newest = self.server.put("last").to_string();
        for _ in 0..2000 {
            if self.log.positions().last().is_some_and(|last| last.ends_with(&newest)) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        panic!("version {newest} never arrived: {:?}", self.log.positions());
    }

    fn check(&self) {
        assert_eq!(self.log.dropped(), 0, "nothing is handed over twice");
        let mut bodies = self.log.bodies();
        let count = bodies.len();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), count, "a version that two histories share is taken over once");
        let positions = self.log.positions();
        for version in self.server.newest() {
            let found = positions.iter().any(|position| {
                position.split_once('.').is_some_and(|(_, known)| known == version.to_string())
            });
            assert!(found, "version {version} is missing from {positions:?}");
        }
    }
}

async fn run(seed: u64) {
    let mut chaos = Chaos {
        server: Server::new(),
        log: MemoryLog::new(),
        world: None,
        snapshot: None,
        random: StdRng::seed_from_u64(seed),
    };
    chaos.start().await;
    for _ in 0..STEPS {
        chaos.step().await;
    }
    chaos.settle().await;
    chaos.check();
    if let Some(world) = chaos.world.take() {
        world.stop().await.expect("stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_ends_up_with_the_newest_version_of_every_event() {
    let given = std::env::var("SOURCE_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in given.map_or(0..RUNS, |seed| seed..seed + 1) {
        println!("SOURCE_CHAOS_SEED={seed}");
        run(seed).await;
    }
}
