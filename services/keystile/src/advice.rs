//! Errors for a person at a terminal: what went wrong, and what to do about it.

/// An error with the next step.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Advice {
    message: String,
    hint: String,
}

impl Advice {
    /// `message` says what is wrong, `hint` what to do; each is one line.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// The next step.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// How `main` prints a failure: `error: …` and, where somebody knew one, `hint: …`.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<Advice>());
    let hint = hint.map(|advice| format!("\nhint: {}", advice.hint())).unwrap_or_default();
    // Sources that only repeat the text of their cause are told once.
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.last().is_none_or(|last| !last.contains(&cause)) {
            said.push(cause);
        }
    }
    format!("error: {}{hint}", said.join(": "))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_failure_is_one_line_and_its_hint_another() {
        let failed: Result<(), _> = Err(Advice::new("port 1 is taken", "choose another"));
        let error = failed.context("the gateway cannot listen").expect_err("failed");
        let text = "error: the gateway cannot listen: port 1 is taken\nhint: choose another";
        assert_eq!(told(&error), text);
    }
}
