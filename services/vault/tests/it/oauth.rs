//! Connecting accounts with OAuth, as a browser does it.

use keystile_contract::{
    Failure,
    proto::vault::v1::{
        BeginConnectRequest, CheckGrantRequest, CompleteConnectRequest, CompleteConnectResponse,
        ConnectResult, ConnectionStatus, MatchConnectionsRequest, OpenConnectRequest,
        OpenConnectResponse, StartConnectRequest,
    },
};
use keystile_domain::{ConnectionId, ErrorKind};
use keystile_testkit::{Provider, provider::Trouble};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use url::Url;

use crate::{
    integrations::{client, configured},
    world::{Vault, World, team},
};

/// What one browser knows of a flow.
pub(crate) struct Browser<'a> {
    vault: &'a Vault,
    integration: String,
    cookie: String,
}

/// The ticket of a flow.
pub(crate) async fn start(vault: &Vault, request: StartConnectRequest) -> Result<String, Failure> {
    let answer = vault.connects().start_connect(vault.by_owner(request)).await?.into_inner();
    let url = Url::parse(&answer.url).expect("a URL");
    assert!(answer.url.starts_with("https://gateway.example.com/connect/int_"), "{url}");
    let ticket = url.query_pairs().find(|(name, _)| name == "ticket").expect("a ticket");
    Ok(ticket.1.into_owned())
}

pub(crate) async fn connect(vault: &Vault, integration: &str) -> Result<String, Failure> {
    let request = StartConnectRequest {
        integration_id: integration.to_owned(),
        name: "Ada's account".to_owned(),
        ..Default::default()
    };
    start(vault, request).await
}

async fn open(
    vault: &Vault,
    integration: &str,
    ticket: &str,
    cookie: &str,
) -> Result<OpenConnectResponse, Failure> {
    let request = OpenConnectRequest {
        integration_id: integration.to_owned(),
        ticket: ticket.to_owned(),
        cookie: cookie.to_owned(),
    };
    Ok(vault.connects().open_connect(request).await?.into_inner())
}

impl<'a> Browser<'a> {
    pub(crate) async fn open(vault: &'a Vault, integration: &str, ticket: &str) -> Self {
        let opened = open(vault, integration, ticket, "").await.expect("opened");
        Self { vault, integration: integration.to_owned(), cookie: opened.cookie }
    }

    pub(crate) async fn begin(&self) -> Result<String, Failure> {
        let request = BeginConnectRequest {
            integration_id: self.integration.clone(),
            cookie: self.cookie.clone(),
        };
        Ok(self.vault.connects().begin_connect(request).await?.into_inner().authorization_url)
    }

    /// Comes back to that address, as the gateway reads it.
    pub(crate) async fn arrive(&self, back: &Url) -> Result<CompleteConnectResponse, Failure> {
        let query: BTreeMap<String, String> = back.query_pairs().into_owned().collect();
        let of = |name: &str| query.get(name).cloned().unwrap_or_default();
        let integration_id = back.path().rsplit('/').next().expect("an id").to_owned();
        let request = CompleteConnectRequest {
            integration_id,
            cookie: self.cookie.clone(),
            state: of("state"),
            code: of("code"),
            error: of("error"),
            iss: of("iss"),
        };
        Ok(self.vault.connects().complete_connect(request).await?.into_inner())
    }
}

/// A connection of team 1 through that integration.
pub(crate) async fn connected(vault: &Vault, world: &World, integration: &str) -> ConnectionId {
    let ticket = connect(vault, integration).await.expect("started");
    let browser = Browser::open(vault, integration, &ticket).await;
    let back = world.provider.consent(&browser.begin().await.expect("begun"));
    let ended = browser.arrive(&back).await.expect("ended");
    assert_eq!(ended.result(), ConnectResult::Connected, "{}", ended.detail);
    ended.connection_id.parse().expect("an id")
}

/// `back` with another value for a parameter, or without it.
fn with(back: &Url, name: &str, value: Option<&str>) -> Url {
    let mut url = back.clone();
    let others: Vec<_> =
        back.query_pairs().into_owned().filter(|(other, _)| other != name).collect();
    let pairs = others.iter().map(|(name, value)| (&**name, &**value));
    url.query_pairs_mut().clear().extend_pairs(pairs.chain(value.map(|value| (name, value))));
    url
}

#[tokio::test]
async fn an_account_is_connected_and_used_and_nobody_sees_its_tokens() {
    let world = World::new().await;
    let vault = world.start().await;
    let own = configured(&vault, client()).await;
    let ticket = connect(&vault, &own.id).await.expect("started");
    let opened = open(&vault, &own.id, &ticket, "").await.expect("opened");
    assert_eq!(opened.requester, "ada@example.com");
    assert_eq!((&*opened.app_name, &*opened.connection_name), ("Provider", "Ada's account"));
    let scopes: Vec<_> =
        opened.scopes.iter().map(|scope| (&*scope.scope, &*scope.description)).collect();
    assert_eq!(scopes, [("read", "Read notes"), ("write", "Write notes")]);

    let id = connected(&vault, &world, &own.id).await;
    let connection = vault.get(id).await.expect("there");
    assert_eq!(connection.status(), ConnectionStatus::Active);
    assert_eq!((&*connection.auth_scheme, &*connection.integration_id), ("oauth2", &*own.id));
    assert_eq!(connection.scopes, ["read", "write"]);
    assert!(connection.expires_at.is_some());

    let mut capability = vault.capability("action.provider.me", Some(id));
    let refused = vault.run(&capability, json!({})).await.expect_err("of no integration");
    assert_eq!(refused.reason, "connection_unusable");
    capability.integration = Some(own.id.parse().expect("an id"));
    let (status, outputs) = vault.run(&capability, json!({})).await.expect("runs");
    let outputs = outputs.to_string();
    // The app said what it was sent; the token was taken out of that.
    assert_eq!(status, 200);
    assert!(outputs.contains("Bearer ") && !outputs.contains(Provider::CANARY), "{outputs}");
    vault.stop().await;
}

#[tokio::test]
async fn a_ticket_opens_one_browser_once_and_that_browser_may_load_the_page_again() {
    let world = World::new().await;
    let vault = world.idle().await;
    let own = configured(&vault, client()).await;
    let other = configured(&vault, client()).await;
    let ticket = connect(&vault, &own.id).await.expect("started");
    let unknown = |failure: Failure| {
        assert_eq!((failure.kind, &*failure.reason), (ErrorKind::NotFound, "connect_unknown"));
    };
    unknown(open(&vault, &other.id, &ticket, "").await.expect_err("another integration"));
    unknown(open(&vault, &own.id, "", "").await.expect_err("nothing"));
    let opened = open(&vault, &own.id, &ticket, "").await.expect("opened");
    unknown(open(&vault, &own.id, &ticket, "").await.expect_err("used"));
    let again = open(&vault, &own.id, &ticket, &opened.cookie).await.expect("the same browser");
    assert_eq!(again.cookie, "", "it has one");
    world.clock.advance(Duration::from_mins(10));
    unknown(open(&vault, &own.id, "", &opened.cookie).await.expect_err("late"));
}

#[tokio::test]
async fn only_the_browser_that_began_ends_a_flow_and_only_once() {
    let world = World::new().await;
    let vault = world.idle().await;
    let own = configured(&vault, client()).await;
    let ticket = connect(&vault, &own.id).await.expect("started");
    let victim = Browser::open(&vault, &own.id, &ticket).await;
    let ticket = connect(&vault, &own.id).await.expect("started");
    let attacker = Browser::open(&vault, &own.id, &ticket).await;
    let first = world.provider.consent(&victim.begin().await.expect("begun"));
    let back = world.provider.consent(&victim.begin().await.expect("begun again"));
    attacker.begin().await.expect("begun");
    let nobody = Browser { vault: &vault, integration: own.id.clone(), cookie: String::new() };
    for (browser, back) in [
        (&attacker, &back),
        (&nobody, &back),
        (&victim, &first),
        (&victim, &with(&back, "state", Some("forged"))),
        (&victim, &with(&back, "state", None)),
    ] {
        let refused = browser.arrive(back).await.expect_err("another's");
        assert_eq!(refused.reason, "connect_unknown");
    }
    let asked = world.provider.exchanges().len();
    let ended = victim.arrive(&back).await.expect("ended");
    assert_eq!(ended.result(), ConnectResult::Connected);
    assert_eq!(victim.arrive(&back).await.expect_err("again").reason, "connect_unknown");
    assert_eq!(world.provider.exchanges().len(), asked + 1);
    assert_eq!(victim.begin().await.expect_err("ended").reason, "connect_unknown");
}

/// RFC 9700 section 4.4: a provider that is in league with an attacker, and an honest one.
#[tokio::test]
async fn what_one_integration_asked_for_never_comes_back_to_another() {
    let world = World::new().await;
    let vault = world.idle().await;
    let honest = configured(&vault, client()).await;
    let malicious = configured(&vault, client()).await;
    let ticket = connect(&vault, &honest.id).await.expect("started");
    let browser = Browser::open(&vault, &honest.id, &ticket).await;
    let back = world.provider.consent(&browser.begin().await.expect("begun"));
    let mut elsewhere = back.clone();
    elsewhere.set_path(&format!("/connect/callback/{}", malicious.id));
    let refused = browser.arrive(&elsewhere).await.expect_err("another callback");
    assert_eq!(refused.reason, "connect_unknown");

    let asked = world.provider.exchanges().len();
    for (iss, ticket) in [
        (Some("https://evil.example"), connect(&vault, &honest.id).await.expect("started")),
        (None, connect(&vault, &honest.id).await.expect("started")),
    ] {
        let browser = Browser::open(&vault, &honest.id, &ticket).await;
        let back = world.provider.consent(&browser.begin().await.expect("begun"));
        let ended = browser.arrive(&with(&back, "iss", iss)).await.expect("ended");
        assert_eq!((ended.result(), &*ended.reason), (ConnectResult::Failed, "issuer_mismatch"));
        // Not even an error of another server is believed.
        assert_eq!(ended.connection_id, "");
    }
    assert_eq!(world.provider.exchanges().len(), asked, "the code went nowhere");
}

#[tokio::test]
async fn a_flow_that_fails_says_what_happened() {
    let world = World::new().await;
    let vault = world.idle().await;
    let own = configured(&vault, client()).await;
    let end = async |change: &dyn Fn(&Url) -> Url| {
        let ticket = connect(&vault, &own.id).await.expect("started");
        let browser = Browser::open(&vault, &own.id, &ticket).await;
        let back = world.provider.consent(&browser.begin().await.expect("begun"));
        let ended = browser.arrive(&change(&back)).await.expect("ended");
        assert!(!ended.detail.contains(Provider::CANARY));
        (ended.result(), ended.reason)
    };
    let same = |back: &Url| back.clone();
    let denied = |back: &Url| with(&with(back, "code", None), "error", Some("access_denied"));
    assert_eq!(end(&denied).await, (ConnectResult::Denied, String::new()));
    let error = |back: &Url| with(&with(back, "code", None), "error", Some("server_error"));
    let failed = |reason: &str| (ConnectResult::Failed, reason.to_owned());
    assert_eq!(end(&error).await, failed("provider_error"));
    assert_eq!(end(&|back| with(back, "code", None)).await, failed("invalid_answer"));
    assert_eq!(end(&|back| with(back, "code", Some("forged"))).await, failed("code_refused"));
    world.provider.trouble(Trouble::Status(500));
    assert_eq!(end(&same).await, failed("provider_unavailable"));
    world.provider.trouble(Trouble::Answer("<html>"));
    assert_eq!(end(&same).await, failed("invalid_answer"));
    let late = |back: &Url| {
        world.clock.advance(Duration::from_mins(10));
        back.clone()
    };
    assert_eq!(end(&late).await, failed("expired"));
}

#[tokio::test]
async fn connecting_again_keeps_the_connection() {
    let world = World::new().await;
    let vault = world.start().await;
    let own = configured(&vault, client()).await;
    let id = connected(&vault, &world, &own.id).await;
    world.provider.revoke_all();
    let mut capability = vault.capability("action.provider.me", Some(id));
    capability.integration = Some(own.id.parse().expect("an id"));
    let refused = vault.run(&capability, json!({})).await.expect_err("revoked");
    assert_eq!(refused.reason, "connection_unusable");
    let expired = vault.get(id).await.expect("there");
    assert_eq!(
        (expired.status(), &*expired.status_reason),
        (ConnectionStatus::Expired, "refused_by_provider")
    );

    let again = StartConnectRequest {
        integration_id: own.id.clone(),
        connection_id: id.to_string(),
        ..Default::default()
    };
    let ticket = start(&vault, again.clone()).await.expect("started");
    let browser = Browser::open(&vault, &own.id, &ticket).await;
    let back = world.provider.consent(&browser.begin().await.expect("begun"));
    let ended = browser.arrive(&back).await.expect("ended");
    assert_eq!((ended.result(), ended.connection_id), (ConnectResult::Connected, id.to_string()));
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);

    // One of another integration, or of none, is not connected again through this one.
    let other = configured(&vault, client()).await;
    let wrong = StartConnectRequest { integration_id: other.id, ..again };
    let refused = start(&vault, wrong).await.expect_err("another's");
    assert_eq!(refused.faults[0].field, "connection_id");
    vault.stop().await;
}

#[tokio::test]
async fn a_return_url_is_one_of_the_integrations_to_the_byte() {
    let world = World::new().await;
    let vault = world.idle().await;
    let mut request = client();
    request.return_urls = vec!["https://app.example/done".to_owned()];
    let own = configured(&vault, request).await;
    let with = |url: &str| StartConnectRequest {
        integration_id: own.id.clone(),
        name: "Ada".to_owned(),
        return_url: url.to_owned(),
        ..Default::default()
    };
    assert!(start(&vault, with("https://app.example/done")).await.is_ok());
    for url in [
        "https://app.example/done/",
        "https://app.example/done?x=1",
        "https://app.example/done#x",
        "https://app.example/done/..;/admin",
        "https://app.example/%64one",
        "https://app.example//done",
        "https://app.example:443/done",
        "https://APP.example/done",
        "https://app.example.evil.example/done",
        "https://app.example@evil.example/done",
        "https:app.example/done",
        "//app.example/done",
        "/done",
        "javascript:alert(1)//https://app.example/done",
        "https://app.example/done\n",
        " https://app.example/done",
        "http://app.example/done",
    ] {
        let refused = start(&vault, with(url)).await.expect_err(url);
        assert_eq!(refused.faults[0].field, "return_url", "{url:?}");
    }
}

#[tokio::test]
async fn what_was_not_granted_is_named_for_each_component() {
    let world = World::new().await;
    let vault = world.idle().await;
    let own = configured(&vault, client()).await;
    world.provider.grant_only("read");
    let id = connected(&vault, &world, &own.id).await;
    let connection = vault.get(id).await.expect("there");
    assert_eq!(connection.status(), ConnectionStatus::MissingScopes);
    let (me, write) = ("action.provider.me", "action.provider.write");
    let check = async |components: &[&str]| {
        let request = CheckGrantRequest {
            team_id: team(1).to_string(),
            app_key: "provider".to_owned(),
            connection_id: id.to_string(),
            components: components.iter().map(|id| (*id).to_owned()).collect(),
        };
        vault.connections().check_grant(request).await.expect("answers").into_inner()
    };
    let good = check(&[me]).await;
    assert_eq!((good.problems, good.integration_id), (vec![], own.id.clone()));
    let problems = check(&[me, write]).await.problems;
    assert_eq!(problems.len(), 1);
    let expected = (write, "missing_scopes", "the account did not grant write");
    assert_eq!((&*problems[0].component, &*problems[0].code, &*problems[0].detail), expected);

    let whole = vault.link("bearer", crate::world::bearer("t")).await.expect("linked");
    let request = MatchConnectionsRequest {
        app_key: "provider".to_owned(),
        components: vec![me.to_owned(), write.to_owned()],
        ..Default::default()
    };
    let found = vault.connections().match_connections(vault.by_owner(request.clone())).await;
    let matches = found.expect("matches").into_inner().matches;
    assert_eq!(matches.len(), 1, "{whole} is of another app");
    assert_eq!(matches[0].problems[0].code, "missing_scopes");
    let wrong = MatchConnectionsRequest {
        components: vec!["action.provider.nothing".to_owned()],
        ..request
    };
    let refused = vault.connections().match_connections(vault.by_owner(wrong)).await;
    assert_eq!(Failure::from(refused.expect_err("unknown")).faults[0].field, "components");
}
