//! The known name a person probably meant.

/// A distance above a third of the name is another word, not a slip of the finger.
const LETTERS_PER_SLIP: usize = 3;

/// The candidate that is spelt almost like `name`, if there is one.
#[must_use]
pub(crate) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), *candidate)
        })
        .filter(|(distance, candidate)| {
            *distance <= candidate.chars().count().div_ceil(LETTERS_PER_SLIP)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to say after "unknown …": the nearest candidate, or all of them.
#[must_use]
pub(crate) fn hint(name: &str, candidates: &[&str]) -> String {
    match nearest(name, candidates) {
        Some(candidate) => format!("; did you mean {candidate:?}?"),
        None if candidates.is_empty() => String::new(),
        None => format!("; known: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_of_the_finger_and_nothing_else() {
        let known = ["sinks", "source", "log"];
        for (name, expected) in [
            ("sinkz", Some("sinks")),
            ("Sinks", Some("sinks")),
            ("soruce", Some("source")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
    }

    #[test]
    fn names_everything_when_nothing_is_near() {
        assert_eq!(hint("bogus", &["now", "all"]), "; known: now, all");
    }
}
