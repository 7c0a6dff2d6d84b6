//! What a runner costs.

use super::*;

/// Overhead of the runner per record, one record at a time. Run alone, with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn overhead_per_record() {
    const RECORDS: u64 = 200_000;
    let mut trial = Trial::start(profile(1), vec![]);
    for first in (1..RECORDS).step_by(50) {
        trial.arrive(first..=first + 49);
    }
    let begun = std::time::Instant::now();
    let wanted = RECORDS - RECORDS / 100;
    for _ in 0..wanted {
        trial.sent().await;
    }
    let rate = f64::from(u32::try_from(wanted).expect("small")) / begun.elapsed().as_secs_f64();
    println!("{rate:.0} records per second");
    trial.end().await;
}
