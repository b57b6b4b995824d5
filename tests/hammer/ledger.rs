//! What may be answered, by the one question: did an allow begin after its cut had returned?

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use keystile_contract::proto::common::v1::Refusal;
use keystile_domain::Tick;

/// A token and what it is to be used for. One task changes what it may; everybody asks.
pub(crate) struct Question {
    /// The key's id.
    key: String,
    /// The token.
    pub(crate) token: String,
    state: Mutex<State>,
}

struct State {
    /// Grows with each change that begins or returns.
    version: u64,
    truth: Truth,
}

/// What its owner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    /// A change is under way: either answer is right.
    Open,
    /// The last change gave access and returned then. Of its limit at most this much is left.
    Given { since: Tick, most: Option<u32> },
    /// The last change was a cut, and it returned.
    Cut,
}

/// What was known when a question was put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    version: u64,
    truth: Truth,
    at: Tick,
}

/// What a verifier said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed { requests_per_minute: Option<u32> },
    Refused(Refusal),
    Unavailable,
}

/// What to think of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Allowed,
    Refused,
    Unavailable,
    /// Refused after a change that gave access returned, and before a renewal must have passed.
    Early,
    /// A change began or returned meanwhile.
    Unjudged,
    Wrong(String),
}

impl Question {
    /// Nothing is known of it yet.
    pub(crate) fn new(key: String, token: String) -> Self {
        Self { key, token, state: Mutex::new(State { version: 0, truth: Truth::Open }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its owner begins a change, or one returned.
    pub(crate) fn turn(&self, truth: Truth) {
        let mut state = self.state();
        *state = State { version: state.version + 1, truth };
    }

    /// Somebody asks at `now`. The clock is read before the state: what had returned by `now` is
    /// in it, and what is in it may have returned since, but before the question is sent.
    pub(crate) fn asked(&self, now: Tick) -> Asked {
        let state = self.state();
        Asked { version: state.version, truth: state.truth, at: now }
    }

    /// Judges the answer. `lease` is L: a lease that is current so long after a change returned
    /// was renewed since, and without a lease a verifier asks afresh.
    pub(crate) fn judge(
        &self,
        asked: &Asked,
        answer: Answer,
        lease: std::time::Duration,
    ) -> Finding {
        if answer == Answer::Unavailable {
            return Finding::Unavailable;
        }
        if self.state().version != asked.version {
            return Finding::Unjudged;
        }
        let wrong = |what: String| Finding::Wrong(format!("{}: {what}", self.key));
        match (asked.truth, answer) {
            (Truth::Open, _) | (_, Answer::Unavailable) => Finding::Unjudged,
            (Truth::Cut, Answer::Refused(_)) => Finding::Refused,
            (Truth::Cut, Answer::Allowed { .. }) => {
                wrong("allowed after its cut returned".to_owned())
            }
            (Truth::Given { most: Some(most), .. }, Answer::Allowed { requests_per_minute })
                if requests_per_minute.is_none_or(|limit| limit > most) =>
            {
                wrong("allowed more than its lowered limit".to_owned())
            }
            (Truth::Given { .. }, Answer::Allowed { .. }) => Finding::Allowed,
            (Truth::Given { since, .. }, Answer::Refused(_)) if asked.at < since + lease => {
                Finding::Early
            }
            (Truth::Given { .. }, Answer::Refused(reason)) => {
                wrong(format!("refused as {reason:?} a renewal after it was given"))
            }
        }
    }
}

/// Counts of findings.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) allowed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unavailable: AtomicU64,
    pub(crate) early: AtomicU64,
    pub(crate) unjudged: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    /// Counts a finding at a place.
    pub(crate) fn count(&self, place: &str, finding: &Finding) {
        let counter = match finding {
            Finding::Allowed => &self.allowed,
            Finding::Refused => &self.refused,
            Finding::Unavailable => &self.unavailable,
            Finding::Early => &self.early,
            Finding::Unjudged => &self.unjudged,
            Finding::Wrong(what) => {
                let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
                wrong.push(format!("{place}: {what}"));
                return;
            }
        };
        counter.fetch_add(1, Relaxed);
    }

    /// All that was wrong.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [allowed, refused, unavailable, early, unjudged] =
            [&self.allowed, &self.refused, &self.unavailable, &self.early, &self.unjudged]
                .map(|counter| counter.load(Relaxed));
        let wrong = self.wrong().len() as u64;
        let asked = allowed + refused + unavailable + early + unjudged + wrong;
        write!(
            f,
            "verifies {asked}: allowed {allowed}, refused {refused}, unavailable {unavailable}, \
             during a change {unjudged}, refused before a renewal {early}, wrong {wrong}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(2);
    const ALLOWED: Answer = Answer::Allowed { requests_per_minute: None };
    const REFUSED: Answer = Answer::Refused(Refusal::Revoked);

    fn at(seconds: u64) -> Tick {
        Tick::from_boot(Duration::from_secs(seconds))
    }

    fn given() -> Question {
        let question = Question::new("key".to_owned(), "token".to_owned());
        question.turn(Truth::Given { since: at(10), most: None });
        question
    }

    fn is_wrong(finding: &Finding) -> bool {
        matches!(finding, Finding::Wrong(_))
    }

    #[test]
    fn an_allow_that_began_after_its_cut_returned_is_wrong_and_one_that_began_before_is_not() {
        let question = given();
        let before = question.asked(at(20));
        question.turn(Truth::Open);
        let during = question.asked(at(20));
        question.turn(Truth::Cut);
        let after = question.asked(at(20));
        assert_eq!(question.judge(&before, ALLOWED, LEASE), Finding::Unjudged);
        assert_eq!(question.judge(&during, ALLOWED, LEASE), Finding::Unjudged);
        assert!(is_wrong(&question.judge(&after, ALLOWED, LEASE)));
        assert_eq!(question.judge(&after, REFUSED, LEASE), Finding::Refused);
        assert_eq!(question.judge(&after, Answer::Unavailable, LEASE), Finding::Unavailable);
    }

    #[test]
    fn a_refusal_is_wrong_once_a_renewal_must_have_passed() {
        let question = given();
        assert_eq!(question.judge(&question.asked(at(11)), REFUSED, LEASE), Finding::Early);
        assert!(is_wrong(&question.judge(&question.asked(at(12)), REFUSED, LEASE)));
        assert_eq!(question.judge(&question.asked(at(12)), ALLOWED, LEASE), Finding::Allowed);
    }

    #[test]
    fn an_allow_with_more_than_a_lowered_limit_is_wrong() {
        let question = given();
        question.turn(Truth::Given { since: at(10), most: Some(5) });
        let asked = question.asked(at(20));
        let allowed = |limit| Answer::Allowed { requests_per_minute: limit };
        assert_eq!(question.judge(&asked, allowed(Some(5)), LEASE), Finding::Allowed);
        assert!(is_wrong(&question.judge(&asked, allowed(Some(6)), LEASE)));
        assert!(is_wrong(&question.judge(&asked, allowed(None), LEASE)));
    }
}
