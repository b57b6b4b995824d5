//! Runs under idempotency keys.

use async_trait::async_trait;
use keystile_domain::{RunId, TeamId};
use time::OffsetDateTime;

use super::MemoryStore;
use crate::store::{
    Error,
    idempotency::{Begun, IdempotencyStore, NewRun, RETENTION, Run, State},
};

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn begin_run(&self, new: &NewRun) -> Result<Begun, Error> {
        let runs = &mut self.tables().runs;
        let named = |run: &NewRun| {
            (run.team, run.key, run.name_digest) == (new.team, new.key, new.name_digest)
        };
        runs.retain(|(run, _)| !named(run) || run.began_at >= new.began_at - RETENTION);
        let Some((run, state)) = runs.iter_mut().find(|(run, _)| named(run)) else {
            runs.push((new.clone(), State::Running));
            return Ok(Begun::Ours);
        };
        if *state == State::Running && run.lease_ends_at < new.began_at {
            *state = State::Unknown;
        }
        let (id, request_digest) = (run.id, run.request_digest);
        Ok(Begun::Known(Run { id, request_digest, state: state.clone() }))
    }

    async fn settle_run(&self, team: TeamId, id: RunId, state: State) -> Result<bool, Error> {
        let runs = &mut self.tables().runs;
        let mut running = runs.iter_mut().filter(|(_, state)| *state == State::Running);
        let found = running.find(|(run, _)| (run.team, run.id) == (team, id));
        Ok(found.map(|(_, known)| *known = state).is_some())
    }

    async fn release_run(&self, team: TeamId, id: RunId) -> Result<(), Error> {
        let released = |run: &NewRun| (run.team, run.id) == (team, id);
        self.tables().runs.retain(|(run, state)| !released(run) || *state != State::Running);
        Ok(())
    }

    async fn prune_runs(&self, before: OffsetDateTime, limit: u64) -> Result<u64, Error> {
        let runs = &mut self.tables().runs;
        runs.sort_by_key(|(run, _)| run.began_at);
        let old = runs.iter().take_while(|(run, _)| run.began_at < before).count();
        let pruned = old.min(usize::try_from(limit).unwrap_or(usize::MAX));
        runs.drain(..pruned);
        Ok(pruned as u64)
    }
}
