//! Messages ↔ domain types that several services share. Every way in is fallible and names the
//! field; an enum's zero is refused.

mod facts;

use std::{collections::BTreeSet, net::IpAddr, str::FromStr, time::Duration};

use ipnet::IpNet;
use keystile_domain::{
    Environment, Grant, Position, Refusal, Scope,
    limits::Limits,
    log::{ChangeKind, LogRow, Nonce, Receipt},
};
use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::{proto::common::v1 as proto, status::Failure};

pub use facts::{from_key_facts, from_key_status, key_facts, key_status};

/// An instant as a message.
#[must_use]
pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    // Nanoseconds of a second are below 10^9 and fit.
    Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(at.nanosecond()).unwrap_or(0) }
}

/// A message as an instant; `None` if it is outside the years that can be written.
#[must_use]
pub fn wall(stamp: &Timestamp) -> Option<OffsetDateTime> {
    let seconds = OffsetDateTime::from_unix_timestamp(stamp.seconds).ok()?;
    seconds.replace_nanosecond(u32::try_from(stamp.nanos).ok()?).ok()
}

/// An optional instant, by the field it came in.
pub fn optional_wall(
    field: &str,
    stamp: Option<&Timestamp>,
) -> Result<Option<OffsetDateTime>, Failure> {
    stamp
        .map(|stamp| wall(stamp).ok_or_else(|| Failure::invalid(field, "is not an instant")))
        .transpose()
}

/// A duration as a message.
#[must_use]
pub fn duration(value: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
    }
}

/// A message as a duration; `None` if absent or negative.
#[must_use]
pub fn from_duration(value: Option<&prost_types::Duration>) -> Option<Duration> {
    let value = value?;
    Some(Duration::new(u64::try_from(value.seconds).ok()?, u32::try_from(value.nanos).ok()?))
}

/// Parses a required id or other text form, by the field it came in.
pub fn parse<T>(field: &str, text: &str) -> Result<T, Failure>
where
    T: FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| Failure::invalid(field, error.to_string()))
}

/// The same for a field whose empty text means absent.
pub fn parse_optional<T>(field: &str, text: &str) -> Result<Option<T>, Failure>
where
    T: FromStr<Err: std::fmt::Display>,
{
    if text.is_empty() { Ok(None) } else { parse(field, text).map(Some) }
}

/// An optional id or other text form as a message field.
#[must_use]
pub fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A CIDR block; a bare address is a block of one.
pub fn ip_net(field: &str, text: &str) -> Result<IpNet, Failure> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|net| net.trunc())
        .map_err(|_| Failure::invalid(field, "is not an IP address or CIDR block"))
}

/// A position as a message.
#[must_use]
pub fn position(value: &Position) -> proto::Position {
    proto::Position { history: value.history.to_string(), seq: value.seq }
}

/// A message as a position.
pub fn from_position(field: &str, value: &proto::Position) -> Result<Position, Failure> {
    Ok(Position { history: parse(&format!("{field}.history"), &value.history)?, seq: value.seq })
}

/// A required position.
pub fn required_position(
    field: &str,
    value: Option<&proto::Position>,
) -> Result<Position, Failure> {
    value
        .ok_or_else(|| Failure::invalid(field, "is required"))
        .and_then(|value| from_position(field, value))
}

/// A scope as a message.
#[must_use]
pub fn scope(value: Scope) -> proto::Scope {
    let (kind, id) = match value {
        Scope::Key(id) => (proto::ScopeKind::Key, id.to_string()),
        Scope::Team(id) => (proto::ScopeKind::Team, id.to_string()),
        Scope::Integration(id) => (proto::ScopeKind::Integration, id.to_string()),
        Scope::Connection(id) => (proto::ScopeKind::Connection, id.to_string()),
    };
    proto::Scope { kind: kind.into(), id }
}

/// A message as a scope.
pub fn from_scope(field: &str, value: Option<&proto::Scope>) -> Result<Scope, Failure> {
    let value = value.ok_or_else(|| Failure::invalid(field, "is required"))?;
    let id = format!("{field}.id");
    match value.kind() {
        proto::ScopeKind::Key => parse(&id, &value.id).map(Scope::Key),
        proto::ScopeKind::Team => parse(&id, &value.id).map(Scope::Team),
        proto::ScopeKind::Integration => parse(&id, &value.id).map(Scope::Integration),
        proto::ScopeKind::Connection => parse(&id, &value.id).map(Scope::Connection),
        proto::ScopeKind::Unspecified => {
            Err(Failure::invalid(format!("{field}.kind"), "is required"))
        }
    }
}

/// A row's mark.
pub fn nonce(field: &str, bytes: &[u8]) -> Result<Nonce, Failure> {
    bytes.try_into().map(Nonce).map_err(|_| Failure::invalid(field, "must have 16 bytes"))
}

/// A row of the log as a message.
#[must_use]
pub fn log_row(row: &LogRow) -> proto::LogRow {
    proto::LogRow {
        seq: row.seq,
        nonce: row.nonce.0.to_vec(),
        previous_nonce: row.previous.0.to_vec(),
        scope: Some(scope(row.scope)),
        kind: row.kind.as_str().to_owned(),
        cut: row.cut,
        operation_id: row.operation.to_string(),
    }
}

/// A message as a row of the log.
pub fn from_log_row(row: &proto::LogRow) -> Result<LogRow, Failure> {
    Ok(LogRow {
        seq: row.seq,
        nonce: nonce("nonce", &row.nonce)?,
        previous: nonce("previous_nonce", &row.previous_nonce)?,
        scope: from_scope("scope", row.scope.as_ref())?,
        kind: ChangeKind::parse(&row.kind)
            .ok_or_else(|| Failure::invalid("kind", "is not a kind of change"))?,
        cut: row.cut,
        operation: parse("operation_id", &row.operation_id)?,
    })
}

/// A receipt as a message.
#[must_use]
pub fn receipt(value: &Receipt) -> proto::Receipt {
    proto::Receipt {
        seq: value.seq,
        acknowledged: value.acknowledged,
        waited_out: value.waited_out,
        elapsed: Some(duration(value.elapsed)),
    }
}

/// An environment as a message.
#[must_use]
pub const fn environment(value: Environment) -> proto::Environment {
    match value {
        Environment::Prod => proto::Environment::Prod,
        Environment::Stg => proto::Environment::Stg,
        Environment::Dev => proto::Environment::Dev,
    }
}

/// A message as an environment; `None` if unspecified.
#[must_use]
pub const fn from_environment(value: proto::Environment) -> Option<Environment> {
    match value {
        proto::Environment::Unspecified => None,
        proto::Environment::Prod => Some(Environment::Prod),
        proto::Environment::Stg => Some(Environment::Stg),
        proto::Environment::Dev => Some(Environment::Dev),
    }
}

/// Limits as a message.
#[must_use]
pub const fn limits(value: Limits) -> proto::Limits {
    proto::Limits {
        requests_per_minute: value.requests_per_minute,
        requests_per_month: value.requests_per_month,
    }
}

/// A message as limits; absent is unlimited.
pub fn from_limits(field: &str, value: Option<&proto::Limits>) -> Result<Limits, Failure> {
    let Some(value) = value else { return Ok(Limits::default()) };
    let limits = Limits {
        requests_per_minute: value.requests_per_minute,
        requests_per_month: value.requests_per_month,
    };
    limits.validate().map_err(|error| Failure::invalid(field, error.to_string()))
}

/// A grant as a message.
#[must_use]
pub fn grant(value: &Grant) -> proto::Grant {
    proto::Grant {
        app_key: value.app().to_string(),
        connection_id: text(value.connection()),
        integration_id: text(value.integration()),
        allowed_components: value.components().iter().map(ToString::to_string).collect(),
    }
}

/// A message as a grant, its integration included.
pub fn from_grant(field: &str, value: &proto::Grant) -> Result<Grant, Failure> {
    let mut components = BTreeSet::new();
    for (at, component) in value.allowed_components.iter().enumerate() {
        components.insert(parse(&format!("{field}.allowed_components[{at}]"), component)?);
    }
    Grant::new(
        parse(&format!("{field}.app_key"), &value.app_key)?,
        parse_optional(&format!("{field}.connection_id"), &value.connection_id)?,
        parse_optional(&format!("{field}.integration_id"), &value.integration_id)?,
        components,
    )
    .map_err(|error| Failure::invalid(format!("{field}.allowed_components"), error.to_string()))
}

/// A refusal as a message.
#[must_use]
pub const fn refusal(value: Refusal) -> proto::Refusal {
    match value {
        Refusal::Invalid => proto::Refusal::Invalid,
        Refusal::Revoked => proto::Refusal::Revoked,
        Refusal::Expired => proto::Refusal::Expired,
        Refusal::Disabled => proto::Refusal::Disabled,
        Refusal::Suspended => proto::Refusal::Suspended,
        Refusal::PlanRequired => proto::Refusal::PlanRequired,
        Refusal::ComponentNotAllowed => proto::Refusal::ComponentNotAllowed,
        Refusal::ConnectionNotAllowed => proto::Refusal::ConnectionNotAllowed,
        Refusal::IpNotAllowed => proto::Refusal::IpNotAllowed,
        Refusal::RateLimited => proto::Refusal::RateLimited,
        Refusal::QuotaExceeded => proto::Refusal::QuotaExceeded,
    }
}

/// A message as a refusal; `None` if unspecified.
#[must_use]
pub fn from_refusal(value: proto::Refusal) -> Option<Refusal> {
    Refusal::ALL.into_iter().find(|known| refusal(*known) == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_a_block_of_one_and_host_bits_are_dropped() {
        assert_eq!(ip_net("ip", "192.0.2.7").map(|net| net.to_string()), Ok("192.0.2.7/32".into()));
        assert_eq!(
            ip_net("ip", "192.0.2.7/24").map(|net| net.to_string()),
            Ok("192.0.2.0/24".into())
        );
        assert!(ip_net("ip", "192.0.2").is_err());
    }

    #[test]
    fn an_instant_outside_the_calendar_is_refused() {
        assert!(wall(&Timestamp { seconds: i64::MAX, nanos: 0 }).is_none());
        assert!(wall(&Timestamp { seconds: 0, nanos: -1 }).is_none());
        assert!(wall(&Timestamp { seconds: 0, nanos: 1_000_000_000 }).is_none());
        let at = time::macros::datetime!(2026-11-21 12:00:00.123456789 UTC);
        assert_eq!(wall(&timestamp(at)), Some(at));
    }
}
