//! Answers of apps, sealed for the run that they belong to.

use keystile_domain::{RunId, TeamId};
use keystile_seal::Purpose;
use zeroize::Zeroizing;

use super::{Keys, Place};
use crate::error::Error;

/// The answers of runs; the row is the run.
pub(crate) const ANSWER: Purpose = Purpose::new("idempotent-response");

/// A run has one answer.
const VERSION: u64 = 1;

const fn place(team: TeamId, row: &str) -> Place<'_> {
    Place { purpose: ANSWER, team, row, version: VERSION }
}

impl Keys {
    /// Seals the answer of a run.
    pub(crate) async fn seal_answer(
        &self,
        team: TeamId,
        run: RunId,
        answer: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.seal(&place(team, &run.to_string()), answer).await
    }

    /// Opens what was sealed for that run, and nothing else.
    pub(crate) async fn open_answer(
        &self,
        team: TeamId,
        run: RunId,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.open_sealed(&place(team, &run.to_string()), sealed).await
    }
}
