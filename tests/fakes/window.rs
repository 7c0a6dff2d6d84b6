//! Limits of services: so many within a sliding window of real time, and a penalty for more.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// At most `count` within any `per`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub count: usize,
    pub per: Duration,
}

impl Rate {
    pub const fn new(count: usize, per: Duration) -> Self {
        Self { count, per }
    }

    pub const fn per_minute(count: usize) -> Self {
        Self::new(count, Duration::from_secs(60))
    }
}

/// Counts for each of those that are limited: a robot, a member.
pub struct Limiter {
    rates: Vec<Rate>,
    penalty: Duration,
    limited: HashMap<String, Window>,
}

#[derive(Default)]
struct Window {
    /// When what counts was taken, oldest first; only what some rate still looks at.
    taken: VecDeque<Instant>,
    refused_until: Option<Instant>,
}

impl Limiter {
    /// Every rate holds. Who exceeds one is refused until it no longer would, and for `penalty` in
    /// any case.
    pub fn new(rates: Vec<Rate>, penalty: Duration) -> Self {
        Self { rates, penalty, limited: HashMap::new() }
    }

    /// Other rates from now on. What was counted stays counted, what was refused is forgiven.
    pub fn set_rates(&mut self, rates: Vec<Rate>) {
        self.rates = rates;
        self.forgive();
    }

    /// Another penalty from now on.
    pub fn set_penalty(&mut self, penalty: Duration) {
        self.penalty = penalty;
        self.forgive();
    }

    fn forgive(&mut self) {
        self.limited.values_mut().for_each(|window| window.refused_until = None);
    }

    /// How long `who` is still refused for what they did before.
    pub fn refused(&self, who: &str, now: Instant) -> Option<Duration> {
        let until = self.limited.get(who)?.refused_until?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Counts one of `who`.
    ///
    /// # Errors
    /// How long they are refused, when it is one too many.
    pub fn take(&mut self, who: &str, now: Instant) -> Result<(), Duration> {
        if let Some(left) = self.refused(who, now) {
            return Err(left);
        }
        let longest = self.rates.iter().map(|rate| rate.per).max().unwrap_or_default();
        let window = self.limited.entry(who.to_owned()).or_default();
        while window.taken.front().is_some_and(|taken| now.duration_since(*taken) >= longest) {
            window.taken.pop_front();
        }
        let wait = self.rates.iter().filter_map(|rate| window.wait(*rate, now)).max();
        let Some(wait) = wait else {
            window.taken.push_back(now);
            return Ok(());
        };
        if !self.penalty.is_zero() {
            window.refused_until = Some(now + self.penalty);
        }
        Err(wait.max(self.penalty))
    }
}

impl Window {
    /// How long until one more is within the rate; none when it is now.
    fn wait(&self, rate: Rate, now: Instant) -> Option<Duration> {
        let recent = self.taken.iter().filter(|taken| now.duration_since(**taken) < rate.per);
        let excess = recent.clone().count().checked_sub(rate.count)?;
        // The window is free again when this one has left it.
        let leaves = recent.clone().nth(excess).map_or(now, |taken| *taken);
        Some((leaves + rate.per).duration_since(now))
    }
}
