//! Limits, in time that passes as told.

use std::time::{Duration, Instant};

use crate::fakes::window::{Limiter, Rate};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_window_slides() {
    let mut limiter = Limiter::new(vec![Rate::new(2, seconds(60))], Duration::ZERO);
    let start = Instant::now();
    let mut take = |at: u64| limiter.take("", start + seconds(at));
    assert_eq!(take(0), Ok(()));
    assert_eq!(take(59), Ok(()));
    assert_eq!(take(59), Err(seconds(1)));
    assert_eq!(take(60), Ok(()), "the first one has left");
    assert_eq!(take(61), Err(seconds(58)), "a new minute does not begin");
    assert_eq!(take(119), Ok(()));
}

#[test]
fn every_rate_holds() {
    let rates = vec![Rate::new(2, seconds(1)), Rate::new(3, seconds(60))];
    let mut limiter = Limiter::new(rates, Duration::ZERO);
    let start = Instant::now();
    let mut take = |at: u64| limiter.take("", start + seconds(at));
    assert_eq!([take(0), take(0), take(0)], [Ok(()), Ok(()), Err(seconds(1))]);
    assert_eq!([take(1), take(1)], [Ok(()), Err(seconds(59))]);
    assert_eq!(take(60), Ok(()));
}

#[test]
fn a_penalty_begins_with_the_first_one_too_many() {
    let mut limiter = Limiter::new(vec![Rate::per_minute(1)], seconds(600));
    let start = Instant::now();
    assert_eq!(limiter.take("a", start), Ok(()));
    assert_eq!(limiter.refused("a", start), None);
    assert_eq!(limiter.take("a", start + seconds(1)), Err(seconds(600)));
    assert_eq!(limiter.take("a", start + seconds(500)), Err(seconds(101)), "it is not prolonged");
    assert_eq!(limiter.refused("a", start + seconds(600)), Some(seconds(1)));
    assert_eq!(limiter.take("b", start + seconds(2)), Ok(()), "others are not concerned");
    assert_eq!(limiter.take("a", start + seconds(601)), Ok(()));
}

#[test]
fn new_limits_forgive() {
    let mut limiter = Limiter::new(vec![Rate::per_minute(0)], seconds(600));
    let now = Instant::now();
    assert_eq!(limiter.take("", now), Err(seconds(600)));
    limiter.set_penalty(Duration::ZERO);
    assert_eq!(limiter.take("", now), Err(seconds(60)));
    limiter.set_rates(vec![Rate::per_minute(1)]);
    assert_eq!(limiter.take("", now), Ok(()));
}
