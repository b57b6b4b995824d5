//! How a change ended, and what a change is answered with.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use keystile_contract::{convert, proto::common::v1 as proto};
use keystile_runtime::Problem;
use serde::Serialize;
use utoipa::ToSchema;

/// Is the change over?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It is in force everywhere.
    Done,
    /// It is committed, and not every node has acknowledged it yet: ask `/cuts/{operationId}`.
    Pending,
}

/// What a cut waited for: from then on no node accepts what was cut.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    /// The cut's row in the log.
    seq: u64,
    /// Nodes that acknowledged it: processes of verification, vault and triggers.
    acknowledged: u32,
    /// Nodes that did not, whose lease has run out instead.
    waited_out: u32,
    /// From commit to answer, milliseconds.
    elapsed_ms: u64,
}

impl Receipt {
    pub(super) fn of(receipt: &proto::Receipt) -> Self {
        let elapsed = convert::from_duration(receipt.elapsed.as_ref()).unwrap_or_default();
        Self {
            seq: receipt.seq,
            acknowledged: receipt.acknowledged,
            waited_out: receipt.waited_out,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// How a change ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    /// Is it over?
    pub(super) status: Status,
    /// Names the change: `op_…`.
    operation_id: String,
    /// Present if the change took access away and is in force everywhere.
    receipt: Option<Receipt>,
}

impl Outcome {
    /// # Errors
    /// 500 if the service left it out.
    pub(super) fn of(outcome: Option<proto::Outcome>) -> Result<Self, Problem> {
        let outcome = outcome.ok_or_else(Problem::internal)?;
        Ok(Self {
            status: if outcome.pending { Status::Pending } else { Status::Done },
            operation_id: outcome.operation_id,
            receipt: outcome.receipt.as_ref().map(Receipt::of),
        })
    }
}

/// `body`, whose outcome is `status`: 202 while it is pending, never `done` before it is.
pub(super) fn answer(done: StatusCode, status: Status, body: impl Serialize) -> Response {
    let code = match status {
        Status::Done => done,
        Status::Pending => StatusCode::ACCEPTED,
    };
    (code, Json(body)).into_response()
}
