//! Running an action once for an idempotency key, design §9.
//!
//! The run is stored before anything is sent, and what came of it after: so a repeat finds the
//! answer, somebody at work, or a run of which nobody can say what it did, and that is never run
//! again. Whoever asks has passed the fence by then: an answer is nothing that a key keeps when its
//! access is cut.

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use http::StatusCode;
use keystile_catalog::App;
use keystile_contract::capability::Capability;
use keystile_domain::{RunId, Tick};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tracing::Instrument as _;

use crate::{
    error::Error,
    outside::Answer,
    store::idempotency::{Begun, NewRun, RETENTION, Run, State},
    vault::Vault,
};

const LONGEST_KEY: usize = 255;

/// The largest outputs that are kept, bytes. Of a larger answer it is kept that there was one.
const MOST_KEPT: usize = 256 << 10;

/// A run has ended this long after its caller's time, whatever the clocks of other processes say.
const LEASE_MARGIN: Duration = Duration::from_mins(1);

/// How often what is older than a day is looked for, and how much of it is forgotten in one step.
pub(crate) const PRUNE_INTERVAL: Duration = Duration::from_mins(1);
const PRUNE_BATCH: u64 = 1_000;

/// What a caller calls its run. Its text is neither kept nor logged.
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a request; `None` if it has none.
    pub(crate) fn of(text: String) -> Result<Option<Self>, Error> {
        let visible = |byte| matches!(byte, b' '..=b'~');
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > LONGEST_KEY || !text.bytes().all(visible) {
            let problem = "must have 1 to 255 visible ASCII characters or spaces";
            return Err(Error::field("idempotency_key", problem));
        }
        Ok(Some(Self(text)))
    }
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    retry_after: Option<Duration>,
    /// JSON; `None` if it was too large.
    outputs: Option<String>,
}

impl Vault {
    /// What came of the run of this name: of this one, if there was none. True if of an earlier one.
    pub(crate) async fn run_once(
        self: &Arc<Self>,
        capability: &Capability,
        name: &IdempotencyKey,
        app: Arc<App>,
        inputs: Value,
        ends: Tick,
    ) -> Result<(Answer, bool), Error> {
        let now = self.clock.now();
        let new = NewRun {
            id: RunId::generate(now, &*self.entropy),
            team: capability.team,
            key: capability.key,
            name_digest: digest([name.0.as_bytes()]),
            request_digest: request_digest(capability, &inputs),
            began_at: now,
            lease_ends_at: now + ends.since(self.clock.tick()) + LEASE_MARGIN,
        };
        match self.store.begin_run(&new).await {
            Ok(Begun::Ours) => {}
            Ok(Begun::Known(run)) => return Ok((self.known(&new, run).await?, true)),
            Err(error) => {
                // It may be stored although that was not told.
                let _ = self.store.release_run(new.team, new.id).await;
                return Err(error.into());
            }
        }
        // It goes on without its caller, who may be gone before the answer is here.
        let (vault, capability) = (Arc::clone(self), capability.clone());
        let run = async move {
            let outcome = vault.perform(&capability, &app, &inputs, ends).await;
            if let Err(error) = vault.ended(&new, &outcome).await {
                // Then its lease ends it, as a run of which nothing is known.
                tracing::warn!(%error, "what came of a run was not stored");
            }
            outcome
        };
        match self.runs.spawn(run.in_current_span()).await {
            Ok(outcome) => Ok((outcome?, false)),
            Err(panicked) => resume_unwind(panicked.into_panic()),
        }
    }

    async fn known(&self, new: &NewRun, run: Run) -> Result<Answer, Error> {
        if run.request_digest != new.request_digest {
            return Err(Error::IdempotencyKeyReused);
        }
        let sealed = match run.state {
            State::Running => return Err(Error::RunInProgress),
            State::Unknown => return Err(Error::OutcomeUnknown),
            State::Done(sealed) => sealed,
        };
        let opened = self.keys.open_answer(new.team, run.id, &sealed).await?;
        let kept: Kept = serde_json::from_slice(&opened).map_err(|_| Error::CorruptAnswer)?;
        let status = StatusCode::from_u16(kept.status).map_err(|_| Error::CorruptAnswer)?;
        let outputs = kept.outputs.ok_or(Error::ResponseNotKept(status))?.into_bytes();
        let Kept { headers, retry_after, .. } = kept;
        Ok(Answer { status, headers, retry_after, outputs })
    }

    /// Stores what came of a run.
    async fn ended(&self, run: &NewRun, outcome: &Result<Answer, Error>) -> Result<(), Error> {
        let state = match outcome {
            Ok(answer) if was_refused(answer.status) => None,
            Ok(answer) => {
                let sealed = self.keys.seal_answer(run.team, run.id, &kept(answer)?).await?;
                Some(State::Done(sealed))
            }
            Err(error) if error.may_have_run() => Some(State::Unknown),
            Err(_) => None,
        };
        match state {
            Some(state) => drop(self.store.settle_run(run.team, run.id, state).await?),
            None => self.store.release_run(run.team, run.id).await?,
        }
        Ok(())
    }

    /// Forgets runs that are older than a day.
    pub(crate) async fn prune_runs(&self) -> Result<(), Error> {
        let before = self.clock.now() - RETENTION;
        while self.store.prune_runs(before, PRUNE_BATCH).await? == PRUNE_BATCH {}
        Ok(())
    }
}

/// The app did nothing: it did not know the account (401), or took no more requests (429). Kept,
/// such an answer would stand for a day in the way of whoever does as it says.
fn was_refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
}

fn kept(answer: &Answer) -> Result<Vec<u8>, Error> {
    let small = Some(&answer.outputs).filter(|outputs| outputs.len() <= MOST_KEPT);
    let kept = Kept {
        status: answer.status.as_u16(),
        headers: answer.headers.clone(),
        retry_after: answer.retry_after,
        outputs: small.and_then(|outputs| String::from_utf8(outputs.clone()).ok()),
    };
    serde_json::to_vec(&kept).map_err(|_| Error::CorruptAnswer)
}

fn request_digest(capability: &Capability, inputs: &Value) -> [u8; 32] {
    let connection = capability.connection.map(|id| id.to_string()).unwrap_or_default();
    let mut canonical = Vec::new();
    canonicalize(inputs, &mut canonical);
    digest([capability.component.as_str().as_bytes(), connection.as_bytes(), &canonical])
}

/// JSON with the members of every object in the order of their names, whatever order they came in.
fn canonicalize(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, value) in members {
                canonicalize(&Value::from(name.as_str()), out);
                out.push(b':');
                canonicalize(value, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                canonicalize(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.extend_from_slice(value.to_string().as_bytes());
        }
    }
}

/// SHA-256 of these parts, each behind its length.
fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canonical(value: &Value) -> String {
        let mut out = Vec::new();
        canonicalize(value, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_order_of_members_does_not_matter_and_everything_else_does() {
        let read = |text| serde_json::from_str::<Value>(text).expect("JSON");
        let one = canonical(&read(r#"{"a": {"x": 1, "y": [1, 2]}, "b": "c"}"#));
        assert_eq!(one, canonical(&read(r#"{"b":"c","a":{"y":[1,2],"x":1}}"#)));
        for other in [
            json!({"a": {"x": 1, "y": [2, 1]}, "b": "c"}),
            json!({"a": {"x": "1", "y": [1, 2]}, "b": "c"}),
            json!({"a": {"x": 1, "y": [1, 2], "b": "c"}}),
            json!({"a": {"x": 1, "y": [1, 2]}, "b": null}),
        ] {
            assert_ne!(one, canonical(&other), "{other}");
        }
    }

    #[test]
    fn no_two_lists_of_parts_have_one_digest() {
        let of = |parts: [&str; 2]| digest(parts.map(str::as_bytes));
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        assert_ne!(of(["", "abc"]), of(["abc", ""]));
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert!(IdempotencyKey::of(String::new()).expect("none").is_none());
        for good in ["1", "order 7", &"x".repeat(255)] {
            assert!(IdempotencyKey::of(good.to_owned()).expect(good).is_some());
        }
        for bad in ["a\n", "\u{e9}", "\u{7f}", &"x".repeat(256)] {
            assert!(IdempotencyKey::of(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_the_app_refused_to_do_is_forgotten() {
        let refused = (100..600).filter_map(|code| StatusCode::from_u16(code).ok());
        let refused: Vec<_> = refused.filter(|status| was_refused(*status)).collect();
        assert_eq!(refused, [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS]);
    }
}
