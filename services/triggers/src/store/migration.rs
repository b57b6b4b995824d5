//! The schema, in steps.

mod m0001_tombstones;
mod m0002_applied_nonce;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Triggers' migrations.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_tombstones::Migration), Box::new(m0002_applied_nonce::Migration)]
    }
}

#[cfg(test)]
mod tests {
    use keystile_sql::{Database, Pool};
    use keystile_testkit::Postgres;
    use sea_orm::{ConnectionTrait, sea_query::Query};

    use super::*;
    use crate::store::{Store, entity::applied, sql::SqlStore};

    /// The schema of the first release.
    struct First;

    #[async_trait::async_trait]
    impl MigratorTrait for First {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(m0001_tombstones::Migration)]
        }
    }

    async fn check(url: String) {
        let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
        database.migrate::<First>().await.expect("migrates");
        let history = format!("{}-1", "09".repeat(16));
        let stored = Query::insert()
            .into_table("applied")
            .columns(["id", "history", "seq"])
            .values_panic([applied::ONLY.into(), history.into(), 3_i64.into()])
            .to_owned();
        let transaction = database.begin().await.expect("begins");
        transaction.execute(&stored).await.expect("inserts");
        transaction.commit().await.expect("commits");

        database.migrate::<Migrator>().await.expect("migrates");
        assert_eq!(SqlStore::new(database).applied().await, Ok(None));
    }

    #[tokio::test]
    async fn a_point_that_names_no_row_is_none_to_go_on_from() {
        let folder = tempfile::tempdir().expect("a folder");
        check(format!("sqlite://{}/triggers.db", folder.path().display())).await;
        check(Postgres::start().database()).await;
    }
}
