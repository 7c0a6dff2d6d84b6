//! Asking before something is changed, when somebody is there to answer.

use std::io::{self, BufRead, IsTerminal, Write};

/// Whether somebody sits at the terminal. Programs are not asked.
#[must_use]
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Shows what will happen, and asks whether it is meant.
pub fn asked(effect: &str) -> io::Result<bool> {
    eprint!("{effect}. Go on? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes(" YES\n"));
        assert!(!is_yes("\n") && !is_yes("no\n") && !is_yes(""));
    }
}
