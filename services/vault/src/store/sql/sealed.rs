//! Where sealed values are kept.
//!
//! A table that keeps sealed values adds its column to [`SEALED`], or the rotation of data keys would
//! not know it: the old data key would be removed, and the values with it. Such a table has an `id`
//! (a UUID), the `team_id`, and the version that the value is sealed for. And what stores a new
//! sealed value calls [`super::keys::hold`] in the same transaction, so that its data key is not
//! removed in between.

use keystile_domain::{ConnectionId, IntegrationId, RunId, TeamId};
use keystile_seal::{DataKeyId, Purpose};
use keystile_sql::Error;
use sea_orm::{
    ConnectionTrait, ExprTrait, QueryResult,
    sea_query::{Expr, Func, FunctionCall, Query, SelectStatement},
};
use uuid::Uuid;

use crate::{
    connect::FlowId,
    keys::{ANSWER, CLIENT, CREDENTIAL, FLOW},
    store::keys::SealedRow,
};

/// A column that keeps sealed values.
pub(super) struct SealedColumn {
    /// What they are sealed for: one purpose, one column.
    purpose: Purpose,
    table: &'static str,
    /// The column itself; null where there is nothing.
    sealed: &'static str,
    /// The column of the version that the value is sealed for.
    version: &'static str,
    /// The row, as it is part of what the value is sealed for, by its `id`.
    row: fn(Uuid) -> String,
}

/// Every column that keeps sealed values; clients before credentials, which is the order in which
/// other transactions lock them.
pub(super) const SEALED: &[SealedColumn] = &[
    SealedColumn {
        purpose: CLIENT,
        table: "integrations",
        sealed: "client",
        version: "client_version",
        row: |id| IntegrationId::from_uuid(id).to_string(),
    },
    SealedColumn {
        purpose: CREDENTIAL,
        table: "connections",
        sealed: "credential",
        version: "credential_version",
        row: |id| ConnectionId::from_uuid(id).to_string(),
    },
    SealedColumn {
        purpose: FLOW,
        table: "connect_flows",
        sealed: "secret",
        version: "attempt",
        row: |id| FlowId(id).to_string(),
    },
    SealedColumn {
        purpose: ANSWER,
        table: "idempotency",
        sealed: "answer",
        version: "answer_version",
        row: |id| RunId::from_uuid(id).to_string(),
    },
];

/// The column of a purpose.
pub(super) fn of(purpose: Purpose) -> Result<&'static SealedColumn, Error> {
    let column = SEALED.iter().find(|column| column.purpose == purpose);
    column.ok_or(Error::Corrupt("sealed value's purpose"))
}

impl SealedColumn {
    /// What every value that this data key sealed begins with, and nothing else: its format and id.
    fn is_under(&self, id: DataKeyId) -> (FunctionCall, Vec<u8>) {
        let length = i32::try_from(1 + id.as_uuid().as_bytes().len()).unwrap_or_default();
        let begin = Func::cust("substr").arg(Expr::col(self.sealed)).arg(1).arg(length);
        (begin, [&[1], &id.as_uuid().as_bytes()[..]].concat())
    }

    fn of_team(&self, team: TeamId) -> SelectStatement {
        let mut select = Query::select();
        select.from(self.table).and_where(Expr::col("team_id").eq(team.as_uuid()));
        select
    }

    async fn count(
        &self,
        database: &impl ConnectionTrait,
        select: &mut SelectStatement,
    ) -> Result<u64, Error> {
        let counted = select.expr(Func::count(Expr::col("id")));
        let row = database.query_one(counted).await?.ok_or(Error::Corrupt("count"))?;
        let count: i64 = row.try_get_by_index(0)?;
        u64::try_from(count).map_err(|_| Error::Corrupt("count"))
    }

    /// How many values of the team are sealed under that data key.
    pub(super) async fn count_under(
        &self,
        database: &impl ConnectionTrait,
        team: TeamId,
        id: DataKeyId,
    ) -> Result<u64, Error> {
        let (begin, own) = self.is_under(id);
        self.count(database, self.of_team(team).and_where(Expr::expr(begin).eq(own))).await
    }

    /// How many are sealed under another.
    pub(super) async fn count_others(
        &self,
        database: &impl ConnectionTrait,
        team: TeamId,
        id: DataKeyId,
    ) -> Result<u64, Error> {
        let (begin, own) = self.is_under(id);
        self.count(database, self.of_team(team).and_where(Expr::expr(begin).ne(own))).await
    }

    /// The first values that are sealed under another.
    pub(super) async fn others(
        &self,
        database: &impl ConnectionTrait,
        team: TeamId,
        id: DataKeyId,
        limit: u64,
    ) -> Result<Vec<SealedRow>, Error> {
        let (begin, own) = self.is_under(id);
        let mut select = self.of_team(team);
        select
            .columns(["id", self.version, self.sealed])
            .and_where(Expr::expr(begin).ne(own))
            .limit(limit);
        let found = database.query_all(&select).await?;
        found.iter().map(|row| self.read(row)).collect()
    }

    fn read(&self, row: &QueryResult) -> Result<SealedRow, Error> {
        let id: Uuid = row.try_get_by_index(0)?;
        let version: i64 = row.try_get_by_index(1)?;
        Ok(SealedRow {
            purpose: self.purpose,
            id,
            row: (self.row)(id),
            version: u64::try_from(version).map_err(|_| Error::Corrupt(self.version))?,
            bytes: row.try_get_by_index(2)?,
        })
    }

    /// Stores a value sealed anew, if the row still has the one that it was.
    pub(super) async fn replace(
        &self,
        database: &impl ConnectionTrait,
        team: TeamId,
        row: &SealedRow,
        bytes: &[u8],
    ) -> Result<u64, Error> {
        let mut update = Query::update();
        update
            .table(self.table)
            .value(self.sealed, bytes.to_vec())
            .and_where(Expr::col("id").eq(row.id))
            .and_where(Expr::col("team_id").eq(team.as_uuid()))
            .and_where(Expr::col(self.version).eq(i64::try_from(row.version).unwrap_or(i64::MAX)))
            .and_where(Expr::col(self.sealed).eq(row.bytes.clone()));
        Ok(database.execute(&update).await?.rows_affected())
    }
}
