//! Connections, for people.

use serde::Deserialize;

use crate::cli::{
    client::Answer,
    output::{self, Output, plain},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// What is shown of a connection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection {
    id: String,
    app_key: String,
    name: String,
    status: String,
    status_reason: Option<String>,
    auth_scheme: String,
    created_at: String,
    last_used_at: Option<String>,
    integration_id: Option<String>,
    scopes: Vec<String>,
    expires_at: Option<String>,
}

impl Connection {
    fn status(&self) -> String {
        match &self.status_reason {
            Some(reason) => format!("{}: {reason}", self.status),
            None => self.status.clone(),
        }
    }

    fn used(&self, output: Output) -> String {
        self.last_used_at.as_deref().map_or_else(|| "never".to_owned(), |at| output.ago(at))
    }

    /// When its token ends, where there is one that can.
    fn expires(&self, output: Output) -> String {
        self.expires_at.as_deref().map_or_else(|| "-".to_owned(), |at| output.ago(at))
    }
}

/// One connection.
pub(super) fn text(output: Output, connection: &Connection) -> String {
    let mut facts = vec![
        ("id", connection.id.clone()),
        ("app", connection.app_key.clone()),
        ("name", connection.name.clone()),
        ("status", connection.status()),
        ("signs in by", connection.auth_scheme.clone()),
        ("created", output.ago(&connection.created_at)),
        ("last used", connection.used(output)),
    ];
    if let Some(integration) = &connection.integration_id {
        facts.push(("integration", integration.clone()));
        facts.push(("token ends", connection.expires(output)));
        facts.extend(output::several("scopes", &connection.scopes));
    }
    output::facts(&facts)
}

/// A page of connections. What only OAuth has is shown where there is any: an id more is wider than
/// a terminal.
pub(super) fn table(output: Output, answer: &Answer) -> anyhow::Result<String> {
    let page: Page<Connection> = answer.read()?;
    let next = page.next_cursor.as_deref();
    let oauth = page.items.iter().any(|connection| connection.integration_id.is_some());
    let short = |connection: &Connection| {
        let (status, used) = (connection.status(), connection.used(output));
        [&connection.id, &connection.name, &connection.app_key, &status, &used].map(Clone::clone)
    };
    if !oauth {
        let header = ["ID", "NAME", "APP", "STATUS", "LAST USED"];
        let rows = page.items.iter().map(short);
        return Ok(output::table(header, rows.collect(), "no connections", next));
    }
    let rows = page.items.iter().map(|connection| {
        let [id, name, app, status, used] = short(connection);
        let through = connection.integration_id.clone().unwrap_or_else(|| "-".to_owned());
        let scopes = if connection.integration_id.is_some() {
            connection.scopes.len().to_string()
        } else {
            "-".to_owned()
        };
        [id, name, app, status, used, connection.expires(output), scopes, through]
    });
    let header =
        ["ID", "NAME", "APP", "STATUS", "LAST USED", "TOKEN ENDS", "SCOPES", "INTEGRATION"];
    Ok(output::table(header, rows.collect(), "no connections", next))
}

#[derive(Debug, Deserialize)]
struct Match {
    connection: Connection,
    usable: bool,
    problems: Vec<Obstacle>,
}

#[derive(Debug, Deserialize)]
struct Obstacle {
    component: Option<String>,
    code: String,
    detail: String,
}

impl Obstacle {
    fn line(&self) -> String {
        let about = self.component.as_deref().map(|id| format!("{id}: "));
        plain(&format!("  {}{}", about.unwrap_or_default(), self.detail))
    }
}

/// Connections, and what is in the way of those that do not serve.
pub(in crate::cli) fn matches(answer: &Answer) -> anyhow::Result<String> {
    let page: Page<Match> = answer.read()?;
    let rows = page.items.iter().map(|found| {
        let mut codes: Vec<_> = found.problems.iter().map(|own| own.code.as_str()).collect();
        codes.dedup();
        let usable =
            if found.usable { "yes".to_owned() } else { format!("no: {}", codes.join(", ")) };
        [found.connection.id.clone(), found.connection.name.clone(), usable]
    });
    let header = ["ID", "NAME", "USABLE"];
    let table =
        output::table(header, rows.collect(), "no connections", page.next_cursor.as_deref());
    let lines = page.items.iter().filter(|found| !found.usable).flat_map(|found| {
        let whose = format!("\n{} ({})", found.connection.id, plain(&found.connection.name));
        std::iter::once(whose).chain(found.problems.iter().map(Obstacle::line))
    });
    let lines: Vec<_> = std::iter::once(table).chain(lines).collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    const OUTPUT: Output = Output { json: false, now: datetime!(2026-01-03 12:00 UTC) };

    fn sample(oauth: bool) -> Value {
        json!({
            "id": if oauth { "conn_02" } else { "conn_01" }, "appKey": "sandbox", "name": "Ada",
            "status": if oauth { "expired" } else { "active" },
            "statusReason": oauth.then_some("invalid_grant"),
            "authScheme": if oauth { "oauth2" } else { "bearer" },
            "createdAt": "2026-01-03T11:57:00Z", "lastUsedAt": null,
            "integrationId": oauth.then_some("int_01"),
            "scopes": if oauth { json!(["notes.read", "notes.write"]) } else { json!([]) },
            "expiresAt": oauth.then_some("2026-01-03T12:50:00Z"),
        })
    }

    fn listed(items: &Value) -> String {
        let answer = Answer { body: json!({ "items": items, "nextCursor": null }) };
        table(OUTPUT, &answer).expect("a table")
    }

    #[test]
    fn a_list_is_as_wide_as_what_there_is() {
        let expected = "\
ID       NAME  APP      STATUS  LAST USED
conn_01  Ada   sandbox  active  never";
        assert_eq!(listed(&json!([sample(false)])), expected);
        let expected = "\
ID       NAME  APP      STATUS                  LAST USED  TOKEN ENDS  SCOPES  INTEGRATION
conn_01  Ada   sandbox  active                  never      -           -       -
conn_02  Ada   sandbox  expired: invalid_grant  never      in 50 min   2       int_01";
        assert_eq!(listed(&json!([sample(false), sample(true)])), expected);
    }

    #[test]
    fn one_of_oauth_is_shown_with_what_was_granted() {
        let connection = serde_json::from_value(sample(true)).expect("a connection");
        let expected = "\
id           conn_02
app          sandbox
name         Ada
status       expired: invalid_grant
signs in by  oauth2
created      3 min ago
last used    never
integration  int_01
token ends   in 50 min
scopes       notes.read
             notes.write";
        assert_eq!(text(OUTPUT, &connection), expected);
    }

    #[test]
    fn what_is_in_the_way_is_told_below_the_table() {
        let problems = json!([
            {"component": null, "code": "expired", "detail": "connect again"},
            {"component": "action.sandbox.x", "code": "missing_scopes", "detail": "not granted"},
            {"component": "action.sandbox.y", "code": "missing_scopes", "detail": "not granted"},
        ]);
        let items = json!([
            {"connection": sample(false), "usable": true, "problems": []},
            {"connection": sample(true), "usable": false, "problems": problems},
        ]);
        let answer = Answer { body: json!({ "items": items, "nextCursor": null }) };
        let expected = "\
ID       NAME  USABLE
conn_01  Ada   yes
conn_02  Ada   no: expired, missing_scopes

conn_02 (Ada)
  connect again
  action.sandbox.x: not granted
  action.sandbox.y: not granted";
        assert_eq!(matches(&answer).expect("a table"), expected);
    }
}
