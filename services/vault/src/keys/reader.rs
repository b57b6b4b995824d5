//! What this process tells the others: that it runs, and which key-encryption keys it has. Nobody
//! makes a version wrap before every process has it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Keys;
use crate::{error::Error, store::keys::Reader};

/// How often it looks whether another version is to wrap.
const LOOK: Duration = Duration::from_secs(1);
/// How often it says that it runs, if there is nothing else to say.
const SAY: Duration = Duration::from_secs(20);
/// After this long without a word a process counts as gone. If it is not, it opens credentials all
/// the same, once it has read the keys that it lacks.
pub(crate) const LIVE: Duration = Duration::from_mins(1);

impl Keys {
    /// Keeps this process known until `stop`.
    pub(crate) async fn stay_known(&self, stop: CancellationToken) {
        let mut said = None;
        let mut failing = false;
        loop {
            match self.say(&mut said).await {
                Ok(()) => failing = false,
                // Once for each time that it begins.
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(%error, "the rotation of keys does not hear of this process");
                }
                Err(_) => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }

    /// Says that this process has ended, and forgets the key-encryption keys: services of one process
    /// know one another, so that nothing they hold is dropped before it ends. Nothing can be sealed
    /// or opened from then on.
    pub(crate) async fn leave(&self) {
        if let Err(error) = self.store.gone(self.id).await {
            tracing::debug!(%error, "this process is not known to have ended");
        }
        self.kek.forget();
    }

    /// Looks for the announced version, and says what there is to say.
    async fn say(&self, said: &mut Option<Reader>) -> Result<(), Error> {
        let announced = self.store.wrapping().await?.announced;
        if announced > self.kek.newest() {
            self.kek.refresh().await?;
        }
        let now = Reader { id: self.id, newest: self.kek.newest(), seen_at: self.clock.now() };
        let due = said
            .as_ref()
            .is_none_or(|said| said.newest != now.newest || now.seen_at - said.seen_at >= SAY);
        if due {
            self.store.seen(&now).await?;
            if said.as_ref().is_some_and(|said| said.newest < now.newest) {
                tracing::info!(newest = now.newest, "a key-encryption key came");
            }
            *said = Some(now);
        }
        Ok(())
    }
}
