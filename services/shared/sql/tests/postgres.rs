//! What only a real Postgres can show: its settings, and the logins that deploy ships.

use keystile_sql::{Database, Error, Pool};
use keystile_testkit::{Postgres, postgres::DURABLE_ROLES};

const PASSWORD: &str = "private";

async fn connect(url: String) -> Result<(), Error> {
    Database::connect(&url.into(), Pool::default()).await.map(drop)
}

#[tokio::test]
async fn a_server_that_could_lose_what_it_acknowledged_is_refused() {
    let mut server = Postgres::start();
    assert_eq!(connect(server.database()).await, Ok(()));
    server.psql("ALTER SYSTEM SET synchronous_commit = off", &[]);
    server.stop();
    server.resume();
    server.psql("CREATE ROLE careful LOGIN PASSWORD 'private'", &[]);
    server.psql("ALTER ROLE careful SET synchronous_commit = on", &[]);
    let rule = "must not have synchronous_commit off for this login";
    assert_eq!(connect(server.database()).await, Err(Error::NotDurable(rule)));
    assert_eq!(connect(server.url("careful", "private", "postgres")).await, Ok(()));
}

#[tokio::test]
async fn each_role_s_login_reaches_its_own_database_and_no_other() {
    let server = Postgres::start();
    server.make_shipped_logins(PASSWORD);
    let mut refused = 0;
    for role in DURABLE_ROLES {
        let login = format!("keystile_{role}");
        assert_eq!(connect(server.url_of(role, PASSWORD)).await, Ok(()), "{role}");
        let others = DURABLE_ROLES.iter().filter(|other| **other != role);
        let others = others.map(|other| format!("keystile_{other}"));
        for other in others.chain(["postgres".to_owned(), "template1".to_owned()]) {
            assert!(
                connect(server.url(&login, PASSWORD, &other)).await.is_err(),
                "{role} → {other}"
            );
            refused += 1;
        }
    }
    assert_eq!(refused, 20);
}
