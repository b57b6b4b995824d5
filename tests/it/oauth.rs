//! Accounts at authorization servers that are not ours, from the console's API through a browser to
//! the app, in whatever shape the run asks for.

use keystile_tests::{Api, Browser, Cluster, Provider, browser::Page, provider::Client};
use serde_json::{Value, json};

/// Keystile with an app and an integration of that provider.
struct World {
    cluster: Cluster,
    provider: Provider,
    integration: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

impl World {
    async fn new(cluster: Cluster, provider: Provider, client: &Client) -> Self {
        let manage = cluster.manage();
        let app = json!({"key": "provider", "document": provider.document()});
        let _ = manage.post("/api/manage/v1/apps", &app).await.expect(201);
        let body = json!({
            "appKey": "provider",
            "name": "our client",
            "clientId": client.id,
            "clientSecret": client.secret,
        });
        let made = manage.post("/api/manage/v1/integrations", &body).await.expect(201);
        let integration = text(&made.json["id"]);
        let refused = connect(&manage, &integration, json!({"name": "Ada"})).await;
        let _ = refused.expect_problem(409, "integration_not_configured");
        provider.allow_callback(client, &text(&made.json["callbackUrl"])).await;
        let check = format!("/api/manage/v1/integrations/{integration}/check");
        let checked = manage.post(&check, &json!({})).await.expect(200);
        assert_eq!(checked.json["integration"]["status"], "configured", "{}", checked.text);
        Self { cluster, provider, integration }
    }

    /// The page at the end of a flow, in which a person consents.
    async fn consent(&self, account: Value) -> Page {
        let started = connect(&self.cluster.manage(), &self.integration, account).await;
        let browser = Browser::default();
        let asked = browser.open(&text(&started.expect(201).json["url"])).await;
        assert!(asked.text.contains("Provider"), "{}", asked.text);
        assert!(!asked.url.as_str().contains("ticket"), "{}", asked.url);
        let mut page = browser.submit(&asked, &[]).await;
        // Some want to know who is there before they ask for consent.
        while page.url.as_str().starts_with(self.provider.url()) {
            let asks = page.text.contains("name=\"login\"");
            let login = [("login", "ada"), ("password", "any")];
            page = browser.submit(&page, if asks { &login } else { &[] }).await;
        }
        page
    }

    async fn connections(&self) -> Vec<Value> {
        let found = self.cluster.manage().get("/api/manage/v1/connections?app=provider").await;
        found.expect(200).json["items"].as_array().expect("a list").clone()
    }

    /// A key that may ask the app who it is.
    async fn key(&self, connection: &str) -> (String, Api) {
        let body = json!({
            "name": "oauth", "environment": "dev",
            "connections": [{
                "appKey": "provider",
                "connectionId": connection,
                "allowedComponents": ["action.provider.me"],
            }],
        });
        let made = self.cluster.manage().post("/api/manage/v1/keys", &body).await.expect(201);
        let token = text(&made.json["token"]);
        (text(&made.json["key"]["id"]), self.cluster.gateway().with_token(&token))
    }
}

async fn connect(manage: &Api, integration: &str, account: Value) -> keystile_tests::Reply {
    manage.post(&format!("/api/manage/v1/integrations/{integration}/connect"), &account).await
}

const RUN: &str = "/api/v1/components/action.provider.me/run";

async fn run(key: &Api) -> keystile_tests::Reply {
    key.post(RUN, &json!({"inputs": {}})).await
}

#[tokio::test]
async fn an_account_at_npms_oidc_provider_lives_through_all_that_happens_to_accounts() {
    lives_through_all_that_happens_to_accounts(Provider::oidc(5)).await;
}

#[tokio::test]
async fn an_account_at_pypis_authlib_lives_through_all_that_happens_to_accounts() {
    lives_through_all_that_happens_to_accounts(Provider::authlib(5)).await;
}

/// Connected, refreshed with rotation, revoked, connected again.
async fn lives_through_all_that_happens_to_accounts(provider: Provider) {
    let client = provider.register().await;
    let allow = provider.address();
    let cluster = Cluster::start_here(&[("KEYSTILE_VAULT__ALLOW__SOCKETS", &allow)]).await;
    let world = World::new(cluster, provider, &client).await;

    let ended = world.consent(json!({"name": "Ada"})).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    let connections = world.connections().await;
    assert_eq!(connections.len(), 1, "{}", ended.text);
    let id = text(&connections[0]["id"]);
    assert_eq!(connections[0]["status"], "active");
    let (key, gateway) = world.key(&id).await;
    let ran = run(&gateway).await.expect(200);
    assert_eq!(ran.json["outputs"]["account"], "ada");

    // Past the end of the first token, and of the second: each refresh token is used once.
    let until = std::time::Duration::from_secs(40);
    let rotated = tokio::time::timeout(until, async {
        while world.provider.exchanges().await.0.iter().filter(|s| **s == 200).count() < 4 {
            let _ = run(&gateway).await.expect(200);
        }
    });
    rotated.await.expect("tokens end after five seconds");
    assert!(world.provider.exchanges().await.1 <= 2, "one for the check, one at a time");

    // The person withdraws what they granted.
    world.provider.revoke_all().await;
    let refused = run(&gateway).await.expect_problem(409, "connection_unusable");
    assert!(refused.text.contains("refused_by_provider"), "{}", refused.text);
    let shown = world.cluster.manage().get(&format!("/api/manage/v1/keys/{key}")).await;
    let grant = shown.expect(200).json["connections"][0].clone();
    assert_eq!(grant["connectionStatus"], "expired", "{grant}");

    let ended = world.consent(json!({"connectionId": id})).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    let ran = run(&gateway).await.expect(200);
    assert_eq!(ran.json["outputs"]["account"], "ada", "the same key, the same connection");
    assert_eq!(world.connections().await.len(), 1);

    // Another browser cannot end what this one began.
    let manage = world.cluster.manage();
    let started = connect(&manage, &world.integration, json!({"name": "Eve"})).await.expect(201);
    let url = text(&started.json["url"]);
    let opened = Browser::default().open(&url).await;
    assert_eq!(opened.status, 200);
    let again = Browser::default().open(&url).await;
    assert_eq!(again.status, 400, "the ticket was used: {}", again.text);
    let stolen = Browser::default().submit(&opened, &[]).await;
    assert_eq!(stolen.status, 400, "no cookie: {}", stolen.text);
}

/// Tokens that have ended, a thousand callers at once, two vaults: one exchange.
#[tokio::test]
async fn a_thousand_callers_of_two_vaults_make_one_exchange() {
    let provider = Provider::oidc(3600);
    let client = provider.register().await;
    let allow = provider.address();
    let settings = [("KEYSTILE_VAULT__ALLOW__SOCKETS", &*allow)];
    let cluster = Cluster::start_replicas(2, &settings).await;
    let world = World::new(cluster, provider, &client).await;
    let _ = world.consent(json!({"name": "Ada"})).await;
    let id = text(&world.connections().await[0]["id"]);
    let (_, gateway) = world.key(&id).await;
    let _ = run(&gateway).await.expect(200);
    let before = world.provider.exchanges().await.0.len();
    for round in 1..=3 {
        world.provider.end_access_tokens().await;
        let calls = (0..1000).map(|_| run(&gateway));
        let answers = futures::future::join_all(calls).await;
        let failed: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status != 200)
            .map(|answer| &answer.text)
            .collect();
        assert_eq!(failed.len(), 0, "{:?}", failed.first());
        let (exchanges, at_once) = world.provider.exchanges().await;
        assert_eq!(exchanges[before..].len(), round, "one for each expiry");
        assert!(exchanges[before..].iter().all(|status| *status == 200) && at_once == 1);
    }
}
