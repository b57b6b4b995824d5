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
    connection_status: Option<String>,
    connection_status_reason: Option<String>,
    integration_id: Option<String>,
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
        let apps: Vec<_> = self.connections.iter().map(Grant::app).collect();
        apps.join(", ")
    }
}

impl Grant {
    /// The state of its connection, if that is not as it should be.
    fn broken(&self) -> Option<&str> {
        self.connection_status.as_deref().filter(|status| *status != "active")
    }

    fn app(&self) -> String {
        match self.broken() {
            Some(status) => format!("{} ({status})", self.app_key),
            None => self.app_key.clone(),
        }
    }

    /// What to know of its connection, a line each.
    fn trouble(&self) -> Vec<String> {
        let Some(id) = &self.connection_id else { return Vec::new() };
        if self.connection_status.is_none() {
            return vec!["the state of the connection is not known now".to_owned()];
        }
        let Some(status) = self.broken() else { return Vec::new() };
        let reason = self.connection_status_reason.as_deref().map(|reason| format!(": {reason}"));
        let told = format!("BROKEN: the connection is {status}{}", reason.unwrap_or_default());
        let fix = match (status, &self.integration_id) {
            ("deleted", _) => "give the key another with `keystile keys grant put`".to_owned(),
            ("failing", _) => format!("try it with `keystile connections test {id}`"),
            (_, Some(integration)) => format!(
                "connect it again: keystile integrations connect {integration} --connection {id}"
            ),
            (_, None) => "link it again with `keystile connections create`, and give the key the \
                          new one with `keystile keys grant put`"
                .to_owned(),
        };
        vec![told, format!("fix: {fix}")]
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
        facts.extend(grant.trouble().into_iter().map(|line| ("", line)));
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
            "connectionStatus": "active", "connectionStatusReason": null,
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

    #[test]
    fn a_broken_connection_is_told_plainly_with_what_helps() {
        let shown = |status: Value, integration: Value| {
            let mut grants = grant();
            grants[0]["connectionStatus"] = status;
            grants[0]["connectionStatusReason"] = json!("invalid_grant");
            grants[0]["integrationId"] = integration;
            let key: KeyView = serde_json::from_value(sample("ci", &grants)).expect("a key");
            text(OUTPUT, &key)
        };
        let told = shown(json!("expired"), json!("int_1"));
        let expected = "
apps         sandbox (expired)
may use      sandbox through conn_1
             BROKEN: the connection is expired: invalid_grant
             fix: connect it again: keystile integrations connect int_1 --connection conn_1
             action.sandbox.echo";
        assert!(told.ends_with(expected), "{told}");
        for (status, integration, says) in [
            ("revoked", Value::Null, "keystile connections create"),
            ("deleted", json!("int_1"), "keystile keys grant put"),
            ("failing", Value::Null, "keystile connections test conn_1"),
        ] {
            let told = shown(json!(status), integration);
            assert!(told.contains(&format!("BROKEN: the connection is {status}")), "{told}");
            assert!(told.contains(says), "{told}");
        }
        let unknown = shown(Value::Null, Value::Null);
        assert!(unknown.contains("not known now") && !unknown.contains("BROKEN"), "{unknown}");
        assert!(!shown(json!("active"), Value::Null).contains("BROKEN"));
    }
}
