//! What services answered, in their own words, for whoever tries a sink.
//!
//! Invariants: nothing is kept unless somebody listens; sinks note an answer only after secrets were taken
//! out of it.

use std::cell::RefCell;

tokio::task_local! {
    static ANSWERS: RefCell<Vec<String>>;
}

/// Notes an answer, if somebody listens.
pub(super) fn note(answer: impl FnOnce() -> String) {
    // An error: nobody listens.
    let _heard = ANSWERS.try_with(|answers| answers.borrow_mut().push(answer()));
}

/// Runs `call`, and returns the answers that were noted meanwhile.
pub(super) async fn listen<T>(call: impl Future<Output = T>) -> (T, Vec<String>) {
    let listening = async {
        let result = call.await;
        (result, ANSWERS.with(RefCell::take))
    };
    ANSWERS.scope(RefCell::default(), listening).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_kept_while_somebody_listens() {
        note(|| panic!("nobody listens"));
        let call = async {
            note(|| "HTTP 500".to_owned());
            tokio::task::yield_now().await;
            note(|| "HTTP 200".to_owned());
            7
        };
        let (result, answers) = listen(call).await;
        assert_eq!((result, answers), (7, vec!["HTTP 500".to_owned(), "HTTP 200".to_owned()]));
    }
}
