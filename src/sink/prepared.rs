//! A batch of which each record has been made ready, or can never be sent.

use super::{Delivery, Outcome};

/// What became of the batch, when the records that were ready were sent together with this result.
pub(super) fn delivery_of<T>(sent: Delivery, batch: Vec<Result<T, Outcome>>) -> Delivery {
    if batch.iter().all(Result::is_ok) {
        return sent;
    }
    match sent {
        Delivery::Whole(outcome) => {
            let ready = batch.iter().enumerate().filter(|(_, record)| record.is_ok());
            let records: Vec<_> = ready.map(|(place, _)| place).collect();
            if records.is_empty() {
                return Delivery::Each(batch.into_iter().filter_map(Result::err).collect());
            }
            // The others come again, alone.
            Delivery::Part { records, outcome }
        }
        Delivery::Each(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            let outcome = |record: Result<T, Outcome>| match record {
                Ok(_) => outcomes.next(),
                Err(refused) => Some(refused),
            };
            Delivery::Each(batch.into_iter().filter_map(outcome).collect())
        }
        part @ Delivery::Part { .. } => part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Outcome {
        Outcome::Rejected { reason: "bad".to_owned() }
    }

    #[test]
    fn records_that_were_not_sent_keep_their_places() {
        let batch = vec![Ok(1), Err(refused()), Ok(2)];
        let sent = Delivery::Each(vec![Outcome::Accepted, Outcome::Accepted]);
        let each = Delivery::Each(vec![Outcome::Accepted, refused(), Outcome::Accepted]);
        assert_eq!(delivery_of(sent, batch.clone()), each);
        let part = Delivery::Part { records: vec![0, 2], outcome: Outcome::Accepted };
        assert_eq!(delivery_of(Delivery::Whole(Outcome::Accepted), batch), part);
    }

    #[test]
    fn a_batch_of_which_nothing_was_sent_is_refused_record_by_record() {
        let batch: Vec<Result<(), _>> = vec![Err(refused()), Err(refused())];
        let each = Delivery::Each(vec![refused(), refused()]);
        assert_eq!(delivery_of(Delivery::Whole(Outcome::Accepted), batch), each);
    }
}
