//! Keys, for people.

use serde::Deserialize;

use crate::cli::{
    client::Answer,
    output::{self, Output},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<KeyView>,
    next_cursor: Option<String>,
}

/// What is shown of a key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyView {
    id: String,
    name: String,
    description: String,
    environment: String,
    status: String,
    public_key: String,
    masked_token: String,
    expires_at: Option<String>,
    ip_allow_list: Vec<String>,
    limits: Limits,
    connections: Vec<Grant>,
    secrets: Vec<Secret>,
    created_at: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    requests_per_minute: Option<u32>,
    requests_per_month: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grant {
    app_key: String,
    connection_id: Option<String>,
    allowed_components: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    id: String,
    not_after: Option<String>,
}

impl KeyView {
    fn apps(&self) -> String {
        if self.connections.is_empty() {
            return "no access".to_owned();
        }
        let apps: Vec<_> = self.connections.iter().map(|grant| grant.app_key.as_str()).collect();
        apps.join(", ")
    }
}

/// A page of keys.
pub(super) fn table(output: Output, answer: &Answer) -> anyhow::Result<String> {
    let page: Page = answer.read()?;
    let rows = page.items.into_iter().map(|key| {
        let (apps, created) = (key.apps(), output.ago(&key.created_at));
        [key.id, key.name, key.masked_token, key.environment, key.status, apps, created]
    });
    Ok(output::table(
        ["ID", "NAME", "TOKEN", "ENV", "STATUS", "APPS", "CREATED"],
        rows.collect(),
        "no keys",
        page.next_cursor.as_deref(),
    ))
}

/// One key.
pub(super) fn text(output: Output, key: &KeyView) -> String {
    let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    let expires = key.expires_at.as_deref();
    let mut facts = vec![
        ("id", key.id.clone()),
        ("name", key.name.clone()),
        ("description", or(key.description.clone(), "-")),
        ("environment", key.environment.clone()),
        ("status", key.status.clone()),
        ("token", key.masked_token.clone()),
        ("public key", key.public_key.clone()),
        ("created", output.ago(&key.created_at)),
        ("expires", expires.map_or_else(|| "never".to_owned(), |at| output.ago(at))),
        ("used from", or(key.ip_allow_list.join(", "), "anywhere")),
        ("limits", limits(&key.limits)),
        ("apps", key.apps()),
    ];
    for grant in &key.connections {
        let through = grant.connection_id.as_deref();
        let through = through.map(|id| format!("{} through {id}", grant.app_key));
        facts.push(("may use", through.unwrap_or_else(|| grant.app_key.clone())));
        facts.extend(grant.allowed_components.iter().map(|id| ("", id.clone())));
    }
    for secret in key.secrets.iter().filter(|_| key.secrets.len() > 1) {
        let end = secret.not_after.as_deref().map(|at| format!("until {}", output.ago(at)));
        facts.push(("secret", format!("{} {}", secret.id, end.as_deref().unwrap_or("current"))));
    }
    output::facts(&facts)
}

fn limits(limits: &Limits) -> String {
    let minute = limits.requests_per_minute.map(|count| format!("{count} a minute"));
    let month = limits.requests_per_month.map(|count| format!("{count} a month"));
    let set: Vec<_> = minute.into_iter().chain(month).collect();
    if set.is_empty() { "none".to_owned() } else { set.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    const OUTPUT: Output = Output { json: false, now: datetime!(2026-01-03 12:00 UTC) };

    fn sample(name: &str, connections: &Value) -> Value {
        json!({
            "id": "key_01", "name": name, "description": "", "environment": "dev",
            "status": "active", "publicKey": "pk_dev_abc", "maskedToken": "ks_dev_abcdef…",
            "expiresAt": "2026-01-04T12:00:00Z", "ipAllowList": [],
            "limits": {"requestsPerMinute": 60, "requestsPerMonth": null},
            "connections": connections, "secrets": [], "createdAt": "2026-01-03T11:57:00Z",
            "updatedAt": "2026-01-03T11:57:00Z", "createdBy": "user_1",
        })
    }

    fn grant() -> Value {
        json!([{
            "appKey": "sandbox", "connectionId": "conn_1", "integrationId": null,
            "allowedComponents": ["action.sandbox.echo"],
        }])
    }

    #[test]
    fn a_list_is_a_table() {
        let items = json!([sample("ci", &grant()), sample("a longer name", &json!([]))]);
        let answer = Answer { body: json!({ "items": items, "nextCursor": "c1" }) };
        let expected = "\
ID      NAME           TOKEN           ENV  STATUS  APPS       CREATED
key_01  ci             ks_dev_abcdef…  dev  active  sandbox    3 min ago
key_01  a longer name  ks_dev_abcdef…  dev  active  no access  3 min ago
more: --cursor c1";
        assert_eq!(table(OUTPUT, &answer).expect("a table"), expected);
    }

    #[test]
    fn a_key_is_shown_with_all_it_may_do() {
        let key: KeyView = serde_json::from_value(sample("ci", &grant())).expect("a key");
        let expected = "\
id           key_01
name         ci
description  -
environment  dev
status       active
token        ks_dev_abcdef…
public key   pk_dev_abc
created      3 min ago
expires      in 24 h
used from    anywhere
limits       60 a minute
apps         sandbox
may use      sandbox through conn_1
             action.sandbox.echo";
        assert_eq!(text(OUTPUT, &key), expected);
    }
}
