//! A real Postgres that is slow, locked, crowded, frozen, gone and back, or another one.

use std::time::Duration;

use keystile_domain::ErrorKind;
use keystile_sql::{Body, Bounded, Database, Error, Pool};
use keystile_testkit::{Authority, Postgres, eventually};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait, SchemaManager, async_trait};

/// Short, so that the tests are.
const POOL: Pool = Pool {
    max_connections: 2,
    acquire_timeout: Duration::from_secs(1),
    idle_timeout: Duration::from_mins(1),
    max_lifetime: Duration::from_mins(1),
    statement_timeout: Duration::from_secs(1),
    lock_timeout: Duration::from_millis(200),
    idle_in_transaction_timeout: Duration::from_secs(30),
};

/// What hangs fails the test.
async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), work).await.expect("ends")
}

async fn open(server: &Postgres, pool: Pool) -> Database {
    let database = Database::connect(&server.database().into(), pool).await.expect("connects");
    let table = "CREATE TABLE counter (value bigint NOT NULL); INSERT INTO counter VALUES (0)";
    database.read().execute_unprepared(table).await.expect("created");
    database
}

async fn run(database: &Database, sql: &str) -> Result<(), Error> {
    ends(database.read().execute_unprepared(sql)).await?;
    Ok(())
}

async fn text(database: &Database, sql: &str) -> String {
    let row = database.read().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    row.expect("answers").expect("a row").try_get_by_index(0).expect("text")
}

async fn value(database: &Database) -> String {
    text(database, "SELECT value::text FROM counter").await
}

fn add_one(transaction: &Bounded<DatabaseTransaction>) -> Body<'_, (), Error> {
    Box::pin(async move {
        transaction.execute_unprepared("UPDATE counter SET value = value + 1").await?;
        Ok(())
    })
}

async fn add(database: &Database) -> Result<(), Error> {
    ends(database.transaction("add", add_one)).await
}

#[tokio::test]
async fn every_connection_is_told_its_time_outs() {
    let server = Postgres::start();
    let pool = Pool { max_connections: 1, ..Pool::default() };
    let database = open(&server, pool).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        for (setting, expected) in [
            ("statement_timeout", "5s"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("tcp_keepalives_idle", "30"),
            ("application_name", "keystile"),
        ] {
            let told = text(&database, &format!("SELECT current_setting('{setting}')")).await;
            assert_eq!(told, expected, "{setting}");
        }
        seen.push(text(&database, "SELECT pg_backend_pid()::text").await);
        // The next one is another connection.
        let end = "SELECT pg_terminate_backend(pg_backend_pid())";
        assert_eq!(run(&database, end).await, Err(Error::Unavailable));
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_statement_beyond_its_time_is_unavailable_and_the_pool_works_on() {
    let server = Postgres::start();
    let database = open(&server, POOL).await;
    for _ in 0..=POOL.max_connections {
        let late = run(&database, "SELECT pg_sleep(600)").await.expect_err("too slow");
        assert_eq!(late.kind(), ErrorKind::Unavailable);
    }
    assert_eq!(add(&database).await, Ok(()));
    assert_eq!(value(&database).await, "1");
}

#[tokio::test]
async fn whoever_waits_for_a_lock_that_is_held_is_refused_and_changes_nothing() {
    let server = Postgres::start();
    let database = open(&server, POOL).await;
    let holder = database.begin().await.expect("begins");
    add_one(&holder).await.expect("holds the row");
    let refused = add(&database).await.expect_err("locked");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(holder.commit().await, Ok(()));
    assert_eq!(value(&database).await, "1");
    assert_eq!(add(&database).await, Ok(()));
    assert_eq!(value(&database).await, "2");
}

#[tokio::test]
async fn a_transaction_that_does_nothing_for_too_long_loses_its_locks() {
    let server = Postgres::start();
    let pool = Pool { idle_in_transaction_timeout: Duration::from_millis(200), ..POOL };
    let database = open(&server, pool).await;
    let holder = database.begin().await.expect("begins");
    add_one(&holder).await.expect("holds the row");
    eventually("the lock is free", async || add(&database).await.is_ok()).await;
    let refused = ends(add_one(&holder)).await.expect_err("ended");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    drop(holder);
    assert_eq!(value(&database).await, "1", "what it had done is undone");
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_unavailable() {
    let server = Postgres::start();
    let database = open(&server, Pool { max_connections: 1, ..POOL }).await;
    let holder = database.begin().await.expect("begins");
    assert_eq!(run(&database, "SELECT 1").await, Err(Error::Unavailable));
    assert_eq!(add(&database).await, Err(Error::Unavailable));
    drop(holder);
    assert_eq!(add(&database).await, Ok(()));
}

#[tokio::test]
async fn a_server_that_stopped_is_used_again_once_it_is_back() {
    let mut server = Postgres::start();
    let database = open(&server, POOL).await;
    let cut_off = database.begin().await.expect("begins");
    add_one(&cut_off).await.expect("not committed");
    server.stop();
    assert_eq!(run(&database, "SELECT 1").await, Err(Error::Unavailable));
    assert_eq!(add(&database).await, Err(Error::Unavailable));
    assert_eq!(ends(cut_off.commit()).await, Err(Error::Unavailable));
    server.resume();
    eventually("it is used again", async || add(&database).await.is_ok()).await;
    assert_eq!(value(&database).await, "1");
}

#[tokio::test]
async fn a_server_that_hangs_is_unavailable_and_is_used_again_once_it_goes_on() {
    let server = Postgres::start();
    let database = open(&server, POOL).await;
    let cut_off = database.begin().await.expect("begins");
    add_one(&cut_off).await.expect("not committed");
    server.freeze();
    assert_eq!(ends(add_one(&cut_off)).await, Err(Error::Unavailable));
    drop(cut_off);
    for _ in 0..=POOL.max_connections {
        assert_eq!(run(&database, "SELECT 1").await, Err(Error::Unavailable));
        assert_eq!(add(&database).await, Err(Error::Unavailable));
    }
    assert!(ends(Box::pin(database.read().ping())).await.is_err());
    server.thaw();
    eventually("it is used again", async || add(&database).await.is_ok()).await;
    assert_eq!(value(&database).await, "1");
}

#[tokio::test]
async fn a_server_that_hangs_at_commit_leaves_all_or_nothing() {
    let server = Postgres::start();
    let database = open(&server, POOL).await;
    let transaction = database.begin().await.expect("begins");
    add_one(&transaction).await.expect("not committed");
    server.freeze();
    assert_eq!(ends(transaction.commit()).await, Err(Error::Unavailable));
    server.thaw();
    eventually("it is used again", async || run(&database, "SELECT 1").await.is_ok()).await;
    let outcome = value(&database).await;
    assert!(["0", "1"].contains(&&*outcome), "{outcome}");
}

struct Slow;

impl MigratorTrait for Slow {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Step("m1")), Box::new(Step("m2"))]
    }
}

struct Step(&'static str);

impl sea_orm_migration::MigrationName for Step {
    fn name(&self) -> &str {
        self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), sea_orm::DbErr> {
        let table = format!("SELECT pg_sleep(1.5); CREATE TABLE {} (id bigint)", self.0);
        manager.get_connection().execute_unprepared(&table).await.map(drop)
    }
}

#[tokio::test]
async fn a_migration_takes_as_long_as_it_takes_and_only_one_runs() {
    let server = Postgres::start();
    let database = open(&server, POOL).await;
    let (first, second) = tokio::join!(database.migrate::<Slow>(), database.migrate::<Slow>());
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(database.pending::<Slow>().await, Ok(Vec::new()));
    assert_eq!(run(&database, "SELECT * FROM m1, m2").await, Ok(()));
    // Whoever comes after it is bounded again.
    assert_eq!(text(&database, "SELECT current_setting('statement_timeout')").await, "1s");
}

#[tokio::test]
async fn tls_reaches_the_server_that_the_ca_names_and_no_other() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Postgres::start_with(Some(&authority));
    let url = server.database();
    let connect = async |url: &str, ca: &Authority| {
        let url = format!("{url}?sslmode=verify-full&sslrootcert={}", ca.file().display());
        ends(Database::connect(&url.into(), POOL)).await
    };
    let database = connect(&url, &authority).await.expect("the right CA");
    let used = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(text(&database, used).await, "true");
    assert_eq!(connect(&url, &other).await.err(), Some(Error::Unavailable), "another CA");
    let named = url.replace("127.0.0.1", "localhost");
    assert_eq!(connect(&named, &authority).await.err(), Some(Error::Unavailable), "another name");
    let plain = Postgres::start();
    assert!(connect(&plain.database(), &authority).await.is_err(), "a server without TLS");
}
