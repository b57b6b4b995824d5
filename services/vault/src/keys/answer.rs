//! Answers of apps, sealed for the run that they belong to.

use keystile_domain::{RunId, TeamId};
use keystile_seal::{Aad, Purpose};
use zeroize::Zeroizing;

use super::Keys;
use crate::error::Error;

const ANSWER: Purpose = Purpose::new("idempotent-response");

/// A run has one answer.
const VERSION: u64 = 1;

impl Keys {
    /// Seals the answer of a run.
    pub(crate) async fn seal_answer(
        &self,
        team: TeamId,
        run: RunId,
        answer: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let key = self.counted(team).await?.unwrap(&*self.kek).await?;
        let row = run.to_string();
        let aad = Aad { purpose: ANSWER, team, row: &row, version: VERSION };
        Ok(keystile_seal::seal(&key, &aad, answer, &*self.entropy)?)
    }

    /// Opens what was sealed for that run, and nothing else.
    pub(crate) async fn open_answer(
        &self,
        team: TeamId,
        run: RunId,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let id = keystile_seal::data_key_id(sealed)?;
        let record = self.store.find_data_key(team, id).await?;
        let key = record.ok_or(Error::CorruptAnswer)?.unwrap(&*self.kek).await?;
        let row = run.to_string();
        let aad = Aad { purpose: ANSWER, team, row: &row, version: VERSION };
        Ok(keystile_seal::open(&key, &aad, sealed)?)
    }
}
