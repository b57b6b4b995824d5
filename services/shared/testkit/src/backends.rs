//! One suite of promises for every backend of a store.

/// Makes a test of each check on SQLite and one on Postgres, and one in memory where there is such a
/// store. The caller says how that is made, and which function makes one of a database's URL.
#[macro_export]
macro_rules! on_every_backend {
    ($memory:expr, $sql:ident: $($check:ident)*) => {
        mod in_memory {
            use super::*;
            $(#[tokio::test]
            async fn $check() {
                super::$check($memory).await;
            })*
        }

        $crate::on_every_backend! { $sql: $($check)* }
    };
    ($sql:ident: $($check:ident)*) => {
        mod in_sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $check() {
                let folder = tempfile::tempdir().expect("a folder");
                let url = format!("sqlite://{}/store.db", folder.path().display());
                super::$check($sql(url).await).await;
            })*
        }

        mod in_postgres {
            use super::*;
            $(#[tokio::test]
            async fn $check() {
                let server = $crate::Postgres::start();
                super::$check($sql(server.database()).await).await;
            })*
        }
    };
}
