//! A token's secret is returned once and found nowhere afterwards (threat 12).

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use keystile_contract::{
    convert::timestamp,
    proto::issuance::v1::{
        GetKeyRequest, ListAuditRequest, ListKeysRequest, RegenerateKeyRequest, RotateKeyRequest,
    },
};
use keystile_domain::Clock;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::world::World;

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn after_create_regenerate_and_rotate_no_file_answer_or_log_has_the_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    // Global, so that what other threads log is searched as well.
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, first) = world.key(&owner).await;
    let request = RegenerateKeyRequest { key_id: key.id.clone(), ..Default::default() };
    let second = world.keys().regenerate_key(world.by(&owner, request)).await;
    let end = Some(timestamp(world.clock.now() + time::Duration::hours(1)));
    let request =
        RotateKeyRequest { key_id: key.id.clone(), overlap_ends_at: end, ..Default::default() };
    let third = world.keys().rotate_key(world.by(&owner, request)).await.expect("rotated");
    let (second, third) = (second.expect("regenerated").into_inner(), third.into_inner());
    let debug = format!("{second:?} {third:?}");
    let tokens = [first, second.token, third.token];
    let get = world.by(&owner, GetKeyRequest { key_id: key.id });
    let list = world.by(&owner, ListKeysRequest::default());
    let audit = world.by(&owner, ListAuditRequest::default());
    let answers = format!(
        "{debug} {:?} {:?} {:?}",
        world.keys().get_key(get).await.expect("found"),
        world.keys().list_keys(list).await.expect("listed"),
        world.keys().list_audit(audit).await.expect("listed"),
    );

    let logged = log.0.lock().expect("not poisoned").clone();
    assert!(contains(&logged, b"issuance.create_key"), "the log is listened to");
    assert!(!contains(&logged, b"$argon2id$"), "no hash in the log");
    assert!(!contains(answers.as_bytes(), b"$argon2id$"), "no hash in an answer");
    let folder = world.folder.as_ref().expect("a folder").path();
    let mut files = 0;
    for file in std::fs::read_dir(folder).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        files += usize::from(contains(&bytes, b"$argon2id$"));
        for token in &tokens {
            // The 45 characters of the secret, without the checksum; half of it is too much already.
            let secret = &token.as_bytes()[token.len() - 51..token.len() - 6];
            for part in [&secret[..16], &secret[29..]] {
                assert!(!contains(&bytes, part), "in a database file");
                assert!(!contains(&logged, part), "in the log");
                assert!(!contains(answers.as_bytes(), part), "in an answer");
            }
        }
    }
    assert!(files > 0, "the hashes are in the files that were searched");
}
