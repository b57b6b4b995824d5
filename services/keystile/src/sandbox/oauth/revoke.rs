//! Two ways to end access: the client's (RFC 7009) and the person's.

use axum::extract::{Path, State, rejection::PathRejection};
use http::{HeaderMap, StatusCode};
use keystile_runtime::Problem;

use super::{
    super::{Server, bearer::is_account},
    Answer,
    authorize::from_another_site,
    parameters::Parameters,
    token::client,
};

/// `POST /oauth/revoke`.
pub(super) async fn revoke(
    State(server): State<Server>,
    headers: HeaderMap,
    form: Answer<Parameters>,
) -> Answer<StatusCode> {
    let form = form?;
    let client = client(&server, &headers, &form)?;
    // A token tells its kind itself: `token_type_hint` is not needed, RFC 7009 §2.1.
    let token = form.required("token", "token is required")?;
    server.ledger().revoke(&client, token)?;
    Ok(StatusCode::OK)
}

/// `POST /oauth/accounts/{account}/revoke`: the person behind an account takes back all that was
/// allowed in its name. Nobody has to log in, as nobody had to for allowing it.
pub(super) async fn withdraw(
    State(server): State<Server>,
    headers: HeaderMap,
    account: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    if from_another_site(&headers) {
        let detail = "no other site may do this";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross_site_request", detail));
    }
    let account = account.ok().filter(|Path(account)| is_account(account));
    let Some(Path(account)) = account else {
        let detail = "an account is named by 1 to 32 letters, digits and hyphens";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    };
    server.ledger().withdraw(&account);
    Ok(StatusCode::NO_CONTENT)
}
