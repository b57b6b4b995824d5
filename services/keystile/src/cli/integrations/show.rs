//! Integrations, for people.

use serde::Deserialize;

use crate::cli::{
    client::Answer,
    output::{self, Output},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Integration>,
    next_cursor: Option<String>,
}

/// What is shown of an integration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Integration {
    pub(super) id: String,
    app_key: String,
    name: String,
    pub(super) status: String,
    status_reason: Option<String>,
    grant_type: String,
    client_id: String,
    has_client_secret: bool,
    scopes: Vec<String>,
    pub(super) callback_url: Option<String>,
    return_urls: Vec<String>,
    created_at: String,
    version: u64,
}

impl Integration {
    fn status(&self) -> String {
        match &self.status_reason {
            Some(reason) => format!("{}: {reason}", self.status),
            None => self.status.clone(),
        }
    }

    /// What to do next, if anything.
    pub(super) fn next(&self) -> String {
        let id = &self.id;
        match (self.status.as_str(), &self.callback_url) {
            ("draft", Some(url)) => format!(
                "next: register this callback URL at the provider\n        {url}\n      \
                 then: keystile integrations check {id}"
            ),
            ("draft", None) => format!("next: keystile integrations check {id}"),
            ("configured", Some(_)) => {
                format!("next: keystile integrations connect {id} --name NAME")
            }
            ("configured", None) => {
                let app = &self.app_key;
                let create = "keystile connections create";
                format!("next: {create} --app {app} --name NAME --integration {id}")
            }
            _ => format!("next: keystile integrations enable {id}"),
        }
    }
}

/// One integration.
pub(super) fn text(output: Output, integration: &Integration) -> String {
    let mut facts = vec![
        ("id", integration.id.clone()),
        ("app", integration.app_key.clone()),
        ("name", integration.name.clone()),
        ("status", integration.status()),
        ("grant", integration.grant_type.clone()),
        ("client id", integration.client_id.clone()),
        ("client secret", if integration.has_client_secret { "stored" } else { "none" }.to_owned()),
    ];
    facts.extend(integration.callback_url.clone().map(|url| ("callback URL", url)));
    facts.extend(output::several("scopes", &integration.scopes));
    facts.extend(output::several("return URLs", &integration.return_urls));
    facts.push(("created", output.ago(&integration.created_at)));
    facts.push(("version", integration.version.to_string()));
    output::facts(&facts)
}

/// A page of integrations.
pub(super) fn table(answer: &Answer) -> anyhow::Result<String> {
    let page: Page = answer.read()?;
    let rows = page.items.into_iter().map(|integration| {
        let status = integration.status();
        [integration.id, integration.name, integration.app_key, status]
    });
    let header = ["ID", "NAME", "APP", "STATUS"];
    Ok(output::table(header, rows.collect(), "no integrations", page.next_cursor.as_deref()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    const OUTPUT: Output = Output { json: false, now: datetime!(2026-01-03 12:00 UTC) };

    fn sample(status: &str, callback: Option<&str>) -> Value {
        json!({
            "id": "int_01", "appKey": "sandbox", "name": "Ours", "status": status,
            "statusReason": (status == "draft").then_some("client_refused"),
            "grantType": "authorization_code", "clientId": "c1", "hasClientSecret": true,
            "scopes": ["notes.read", "notes.write"], "callbackUrl": callback, "returnUrls": [],
            "createdAt": "2026-01-03T11:57:00Z", "version": 2,
        })
    }

    fn integration(status: &str, callback: Option<&str>) -> Integration {
        serde_json::from_value(sample(status, callback)).expect("an integration")
    }

    #[test]
    fn one_is_shown_with_what_to_register() {
        let callback = "http://127.0.0.1:8080/connect/callback/int_01";
        let expected = "\
id             int_01
app            sandbox
name           Ours
status         draft: client_refused
grant          authorization_code
client id      c1
client secret  stored
callback URL   http://127.0.0.1:8080/connect/callback/int_01
scopes         notes.read
               notes.write
return URLs    none
created        3 min ago
version        2";
        assert_eq!(text(OUTPUT, &integration("draft", Some(callback))), expected);
        let items = json!([sample("configured", Some(callback))]);
        let answer = Answer { body: json!({ "items": items, "nextCursor": null }) };
        let expected = "\
ID      NAME  APP      STATUS
int_01  Ours  sandbox  configured";
        assert_eq!(table(&answer).expect("a table"), expected);
    }

    #[test]
    fn the_next_step_is_the_one_that_is_missing() {
        for (status, callback, says) in [
            ("draft", Some("https://a.example/cb"), "keystile integrations check int_01"),
            ("draft", None, "keystile integrations check int_01"),
            ("configured", Some("https://a.example/cb"), "integrations connect int_01"),
            (
                "configured",
                None,
                "connections create --app sandbox --name NAME --integration int_01",
            ),
            ("disabled", None, "keystile integrations enable int_01"),
        ] {
            let next = integration(status, callback).next();
            assert!(next.starts_with("next: ") && next.contains(says), "{next}");
            assert_eq!(
                next.contains("https://a.example/cb"),
                status == "draft" && callback.is_some()
            );
        }
    }
}
