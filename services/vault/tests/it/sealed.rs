//! What is at rest: threats 14 and 16, and the search for the credential.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use keystile_contract::proto::vault::v1::CreateConnectionRequest;
use keystile_domain::{ErrorKind, MemberRole};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::world::{CANARY, World, bearer, team};

/// Threat 14: whoever can write the database moves sealed credentials about.
#[tokio::test]
async fn a_credential_moved_to_another_place_does_not_open() {
    let others = "SELECT credential FROM connections WHERE name = 'other'";
    let of_team_2 = "SELECT credential FROM connections WHERE name = 'foreign'";
    let team_2 = "SELECT team_id FROM connections WHERE name = 'foreign'";
    let own = "name = 'Ada''s account'";
    for tampering in [
        format!("UPDATE connections SET credential = ({others}) WHERE {own}"),
        format!("UPDATE connections SET credential = ({of_team_2}) WHERE {own}"),
        format!("UPDATE connections SET credential_version = 2 WHERE {own}"),
        // A whole row given to another team, with and without the data keys.
        format!("UPDATE connections SET team_id = ({team_2}) WHERE {own}"),
        format!(
            "UPDATE connections SET team_id = ({team_2}) WHERE {own};
             UPDATE data_keys SET team_id = ({team_2})"
        ),
        // Sent to another app than it was given for.
        format!("UPDATE connections SET app_key = 'header' WHERE {own}"),
        "UPDATE data_keys SET wrapped = zeroblob(61)".to_owned(),
        // Data keys changed for one another, and put under another key-encryption key.
        format!(
            "UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE team_id = ({team_2}))"
        ),
        format!(
            "UPDATE connections SET credential = substr(credential, 1, 1)
               || (SELECT id FROM data_keys WHERE team_id = ({team_2})) || substr(credential, 18)
               WHERE {own};
             UPDATE data_keys SET team_id = (SELECT team_id FROM connections WHERE {own})
               WHERE team_id = ({team_2})"
        ),
        "UPDATE data_keys SET kek_version = 2".to_owned(),
        format!("UPDATE connections SET credential = zeroblob(80) WHERE {own}"),
        format!("UPDATE connections SET credential = NULL WHERE {own}"),
    ] {
        let world = World::new().await;
        let vault = world.start().await;
        let id = vault.link("bearer", bearer(CANARY)).await.expect("linked");
        for (owner, name) in [(1, "other"), (2, "foreign")] {
            let request = CreateConnectionRequest {
                app_key: "bearer".to_owned(),
                name: name.to_owned(),
                credential: Some(bearer("somebody-elses-credential")),
                server_variables: HashMap::new(),
            };
            let request = vault.by(team(owner), MemberRole::Owner, request);
            vault.connections().create_connection(request).await.expect("linked");
        }
        world.database().await.read().execute_unprepared(&tampering).await.expect("tampered");

        for (owner, app) in [(1, "bearer"), (2, "bearer"), (1, "header"), (2, "header")] {
            let mut capability = vault.capability(&format!("action.{app}.read-echo"), Some(id));
            capability.team = team(owner);
            let refused = vault.run(&capability, json!({})).await.expect_err(&tampering);
            let kinds = [ErrorKind::Internal, ErrorKind::Conflict];
            assert!(kinds.contains(&refused.kind), "{tampering}: {refused:?}");
            let said = format!("{refused:?}");
            let says = ["seal", "altered", "data key", "encrypt", CANARY];
            assert!(!says.iter().any(|word| said.contains(word)), "{tampering}: {said}");
        }
        assert!(world.upstream.received().is_empty(), "{tampering}");
        vault.stop().await;
    }
}

/// Threat 16.
#[tokio::test]
async fn without_the_key_encryption_key_in_use_vault_does_not_start() {
    let world = World::new().await;
    let vault = world.idle().await;
    vault.link("bearer", bearer(CANARY)).await.expect("linked");
    drop(vault);
    assert!(world.build(&[1]).await.is_ok());
    assert!(world.build(&[1, 2]).await.is_ok());
    let refused = world.build(&[2]).await.err().expect("the key is gone").to_string();
    assert!(refused.contains("key-encryption key version 1 is not configured"), "{refused}");

    let statement = "UPDATE data_keys SET kek_version = 2";
    world.database().await.read().execute_unprepared(statement).await.expect("tampered");
    assert!(world.build(&[1, 2]).await.is_err(), "another key under that version");
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[tokio::test]
async fn the_credential_is_found_nowhere_at_rest() {
    let world = World::new().await;
    let vault = world.start().await;
    let id = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let capability = vault.capability("action.bearer.read-echo", Some(id));
    vault.run(&capability, json!({})).await.expect("runs");
    let kept = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    vault.delete(id).await.expect("deleted");

    let shown = format!("{:?} {:?}", vault.get(kept).await, bearer(CANARY));
    let mut bytes = shown.into_bytes();
    let folder = world.file().parent().expect("a folder").to_owned();
    for file in std::fs::read_dir(folder).expect("a folder") {
        bytes.extend(std::fs::read(file.expect("an entry").path()).expect("a file"));
    }
    // Base64 has three alignments; the middle of each is the same whatever stands around it.
    let mut needles = vec![CANARY.to_owned(), hex(CANARY), hex(CANARY).to_uppercase()];
    needles.extend((0..3).map(|shift| STANDARD.encode(&CANARY[shift..shift + 18])));
    for needle in needles {
        let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert!(!found, "{needle}");
    }
    assert!(bytes.windows(11).any(|window| window == b"connections"), "the search can find");
    vault.stop().await;
}

#[tokio::test]
async fn a_deleted_connection_leaves_no_ciphertext() {
    let world = World::new().await;
    let vault = world.start().await;
    let id = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let database = world.database().await;
    let credential = async || {
        let query = sea_orm::Statement::from_string(
            sea_orm::DbBackend::Sqlite,
            "SELECT credential FROM connections",
        );
        let row = database.read().query_one_raw(query).await.expect("reads").expect("a row");
        row.try_get_by_index::<Option<Vec<u8>>>(0).expect("a blob")
    };
    let sealed = credential().await.expect("sealed");
    vault.delete(id).await.expect("deleted");
    assert_eq!(credential().await, None);
    database.checkpoint().await.expect("checkpoints");
    let bytes = std::fs::read(world.file()).expect("a file");
    assert!(!bytes.windows(sealed.len()).any(|window| window == sealed));
    vault.stop().await;
}
