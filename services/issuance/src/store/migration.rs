//! The schema, one file a step. Steps are never edited once released.

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

mod m0001_keys;
mod m0002_lease_ttl;
mod m0003_receipts;
mod m0004_local_followers;

pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_keys::Migration),
            Box::new(m0002_lease_ttl::Migration),
            Box::new(m0003_receipts::Migration),
            Box::new(m0004_local_followers::Migration),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keystile_domain::{Incarnation, Role};
    use keystile_sql::{Database, Pool};
    use keystile_testkit::{Postgres, SeededEntropy};
    use sea_orm::{ConnectionTrait, sea_query::Query};
    use uuid::Uuid;

    use super::*;
    use crate::store::{Store, sql::SqlStore};

    /// The schema of the first release.
    struct First;

    #[async_trait::async_trait]
    impl MigratorTrait for First {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(m0001_keys::Migration)]
        }
    }

    async fn check(url: String) {
        let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
        database.migrate::<First>().await.expect("migrates");
        let id = Uuid::from_u128(7);
        let registered = Query::insert()
            .into_table("followers")
            .columns(["incarnation", "role", "since", "answered_at", "retiring"])
            .values_panic([
                id.into(),
                "verification".into(),
                3_i64.into(),
                0_i64.into(),
                false.into(),
            ])
            .to_owned();
        let transaction = database.begin().await.expect("begins");
        transaction.execute(&registered).await.expect("inserts");
        transaction.commit().await.expect("commits");

        database.migrate::<Migrator>().await.expect("migrates");
        let store = SqlStore::open(database, &SeededEntropy::new(1)).await.expect("opens");
        let followers = store.followers().await.expect("reads");
        let [follower] = &followers[..] else { panic!("{followers:?}") };
        assert_eq!(
            (follower.incarnation, follower.role),
            (Incarnation::from_uuid(id), Role::Verification)
        );
        assert_eq!(follower.lease_ttl, Duration::from_mins(1), "the longest that any takes");
        assert!(!follower.local, "it may run anywhere");
    }

    #[tokio::test]
    async fn a_follower_of_before_is_waited_for_as_long_as_any_lease_lasts() {
        let folder = tempfile::tempdir().expect("a folder");
        check(format!("sqlite://{}/issuance.db", folder.path().display())).await;
        check(Postgres::start().database()).await;
    }
}
