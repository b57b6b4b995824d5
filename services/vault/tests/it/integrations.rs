//! Integrations of teams: checking, changing, disabling, deleting.

use keystile_contract::{
    Failure,
    proto::vault::v1::{
        CheckIntegrationRequest, ConnectionStatus, CreateConnectionRequest,
        CreateIntegrationRequest, DeleteIntegrationRequest, DisableIntegrationRequest,
        EnableIntegrationRequest, GetIntegrationRequest, GrantType, Integration, IntegrationStatus,
        ListIntegrationsRequest, ReturnUrls, Scopes, StartConnectRequest, StaticCredential,
        UpdateIntegrationRequest, static_credential::Kind,
    },
};
use keystile_domain::{ErrorKind, MemberRole};
use keystile_testkit::{Provider, provider::Trouble};
use serde_json::json;

use crate::{
    oauth::{connect, connected},
    world::{Vault, World, team},
};

pub(crate) fn client() -> CreateIntegrationRequest {
    let (id, secret) = Provider::CLIENT;
    CreateIntegrationRequest {
        app_key: "provider".to_owned(),
        name: "Our client".to_owned(),
        client_id: id.to_owned(),
        client_secret: secret.to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn create(
    vault: &Vault,
    request: CreateIntegrationRequest,
) -> Result<Integration, Failure> {
    let answer = vault.integrations().create_integration(vault.by_owner(request)).await?;
    Ok(answer.into_inner().integration.expect("an integration"))
}

/// Whether it passed, with the integration and what is said to a person.
async fn check(vault: &Vault, id: &str) -> (bool, Integration, String) {
    let request = CheckIntegrationRequest { integration_id: id.to_owned() };
    let answer = vault.integrations().check_integration(vault.by_owner(request)).await;
    let answer = answer.expect("checked").into_inner();
    (answer.ok, answer.integration.expect("an integration"), answer.detail)
}

/// One that passed its check.
pub(crate) async fn configured(vault: &Vault, request: CreateIntegrationRequest) -> Integration {
    let draft = create(vault, request).await.expect("created");
    assert_eq!(draft.status(), IntegrationStatus::Draft);
    let (ok, integration, detail) = check(vault, &draft.id).await;
    assert!(ok, "{detail}");
    assert_eq!(integration.status(), IntegrationStatus::Configured);
    integration
}

async fn update(vault: &Vault, request: UpdateIntegrationRequest) -> Result<Integration, Failure> {
    let answer = vault.integrations().update_integration(vault.by_owner(request)).await?;
    Ok(answer.into_inner().integration.expect("an integration"))
}

#[tokio::test]
async fn a_draft_is_configured_once_the_provider_knows_its_client() {
    let world = World::new().await;
    let vault = world.idle().await;
    let wrong = CreateIntegrationRequest { client_secret: "wrong".to_owned(), ..client() };
    let draft = create(&vault, wrong).await.expect("created");
    let callback = format!("https://gateway.example.com/connect/callback/{}", draft.id);
    assert_eq!((draft.callback_url, draft.has_client_secret), (callback, true));
    assert_eq!(draft.scopes, ["read", "write"], "what the app's components ask for");
    let (ok, checked, detail) = check(&vault, &draft.id).await;
    assert!(!ok && detail.contains("invalid_client"), "{detail}");
    assert_eq!(
        (checked.status(), &*checked.status_reason),
        (IntegrationStatus::Draft, "client_refused")
    );

    let start = StartConnectRequest {
        integration_id: draft.id.clone(),
        name: "Ada".to_owned(),
        ..Default::default()
    };
    let refused = vault.connects().start_connect(vault.by_owner(start)).await;
    let refused = Failure::from(refused.expect_err("a draft"));
    assert_eq!(
        (refused.kind, &*refused.reason),
        (ErrorKind::Conflict, "integration_not_configured")
    );

    let secret = Some(Provider::CLIENT.1.to_owned());
    let request = UpdateIntegrationRequest {
        integration_id: draft.id.clone(),
        client_secret: secret,
        ..Default::default()
    };
    update(&vault, request).await.expect("updated");
    let (ok, checked, _) = check(&vault, &draft.id).await;
    assert!(ok);
    assert_eq!((checked.status(), &*checked.status_reason), (IntegrationStatus::Configured, ""));
    // What it is asked by a check, no provider ever granted.
    let kinds: Vec<_> = world.provider.exchanges();
    assert_eq!(kinds[1].error, "invalid_grant");
}

#[tokio::test]
async fn a_check_that_meets_an_outage_leaves_a_draft_and_says_so() {
    let world = World::new().await;
    let vault = world.idle().await;
    let draft = create(&vault, client()).await.expect("created");
    world.provider.trouble(Trouble::Status(503));
    let (ok, checked, detail) = check(&vault, &draft.id).await;
    assert!(!ok && detail.contains("503"), "{detail}");
    assert_eq!(checked.status_reason, "provider_unavailable");
    assert!(check(&vault, &draft.id).await.0);
    // One that works is not taken down by it.
    world.provider.trouble(Trouble::Status(503));
    let (ok, checked, _) = check(&vault, &draft.id).await;
    assert_eq!((ok, checked.status()), (false, IntegrationStatus::Configured));
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_field() {
    let world = World::new().await;
    let vault = world.idle().await;
    let long = "x".repeat(2049);
    let with = |change: &dyn Fn(&mut CreateIntegrationRequest)| {
        let mut request = client();
        change(&mut request);
        request
    };
    for (request, field) in [
        (with(&|r| r.app_key = "No App".to_owned()), "app_key"),
        (with(&|r| r.app_key = "bearer".to_owned()), "app_key"),
        (with(&|r| r.name.clear()), "name"),
        (with(&|r| r.client_id.clear()), "client_id"),
        (with(&|r| r.client_id = "a\nb".to_owned()), "client_id"),
        (with(&|r| r.client_id.clone_from(&long)), "client_id"),
        (with(&|r| r.client_secret = " x".to_owned()), "client_secret"),
        (with(&|r| r.scopes = vec!["read".to_owned(), "admin".to_owned()]), "scopes[1]"),
        (with(&|r| r.scopes = vec!["a b".to_owned()]), "scopes[0]"),
        (with(&|r| r.return_urls = vec!["/done".to_owned()]), "return_urls[0]"),
        (with(&|r| r.return_urls = vec!["javascript:alert(1)".to_owned()]), "return_urls[0]"),
        (with(&|r| r.return_urls = vec!["https://u@a.example/".to_owned()]), "return_urls[0]"),
        (with(&|r| r.return_urls = vec!["https://a.example/#x".to_owned()]), "return_urls[0]"),
        (with(&|r| r.return_urls = vec!["https://a.example/".to_owned(); 21]), "return_urls"),
        (with(&|r| r.grant_type = 9), "grant_type"),
        (
            with(&|r| {
                r.set_grant_type(GrantType::ClientCredentials);
                r.client_secret.clear();
            }),
            "client_secret",
        ),
    ] {
        let refused = create(&vault, request).await.expect_err(field);
        assert_eq!(refused.kind, ErrorKind::Invalid, "{field}");
        assert_eq!(refused.faults[0].field, field);
    }
    let unknown = with(&|r| r.app_key = "nothing".to_owned());
    assert_eq!(create(&vault, unknown).await.expect_err("unknown").reason, "unknown_app");
    let list = vault.by_owner(ListIntegrationsRequest::default());
    let listed = vault.integrations().list_integrations(list).await.expect("lists");
    assert_eq!(listed.into_inner().integrations, []);
}

#[tokio::test]
async fn a_change_of_the_client_is_checked_again_and_one_that_came_too_late_is_refused() {
    let world = World::new().await;
    let vault = world.idle().await;
    let own = configured(&vault, client()).await;
    let change = |version| UpdateIntegrationRequest {
        integration_id: own.id.clone(),
        version,
        name: Some("Renamed".to_owned()),
        scopes: Some(Scopes { scopes: vec!["read".to_owned()] }),
        return_urls: Some(ReturnUrls { urls: vec!["https://a.example/done".to_owned()] }),
        ..Default::default()
    };
    let changed = update(&vault, change(own.version)).await.expect("updated");
    assert_eq!((changed.status(), &*changed.name), (IntegrationStatus::Configured, "Renamed"));
    assert_eq!((changed.scopes, changed.return_urls.len()), (vec!["read".to_owned()], 1));
    let late = update(&vault, change(own.version)).await.expect_err("late");
    assert_eq!((late.kind, &*late.reason), (ErrorKind::Conflict, "integration_changed"));
    let other = UpdateIntegrationRequest {
        integration_id: own.id.clone(),
        client_id: Some("another".to_owned()),
        ..Default::default()
    };
    let changed = update(&vault, other).await.expect("updated");
    assert_eq!((changed.status(), &*changed.status_reason), (IntegrationStatus::Draft, "changed"));
}

#[tokio::test]
async fn disabling_is_a_cut_and_enabling_ends_it() {
    let world = World::new().await;
    let vault = world.start().await;
    let own = configured(&vault, client()).await;
    let id = connected(&vault, &world, &own.id).await;
    let mut capability = vault.capability("action.provider.me", Some(id));
    capability.integration = Some(own.id.parse().expect("an id"));
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);

    let disable = || DisableIntegrationRequest { integration_id: own.id.clone() };
    let answer = vault.integrations().disable_integration(vault.by_owner(disable())).await;
    let answer = answer.expect("disabled").into_inner();
    assert_eq!(answer.integration.expect("there").status(), IntegrationStatus::Disabled);
    let outcome = answer.outcome.expect("an outcome");
    assert!(outcome.receipt.is_some() && !outcome.pending);
    assert_eq!(world.issuance.state().attempts.last().expect("sent").0, own.id);

    // Here at once, whatever a capability says.
    let refused = vault.run(&capability, json!({})).await.expect_err("disabled");
    assert_eq!(refused.reason, "connection_unusable");
    assert!(refused.message.contains("integration_disabled"), "{}", refused.message);
    let shown = vault.get(id).await.expect("there");
    assert_eq!(
        (shown.status(), &*shown.status_reason),
        (ConnectionStatus::Revoked, "integration_disabled")
    );
    let again = vault.integrations().disable_integration(vault.by_owner(disable())).await;
    let again = again.expect("again").into_inner().outcome.expect("an outcome");
    assert_eq!(again.operation_id, outcome.operation_id);

    let enable = EnableIntegrationRequest { integration_id: own.id.clone() };
    let answer = vault.integrations().enable_integration(vault.by_owner(enable)).await;
    let answer = answer.expect("enabled").into_inner();
    assert_eq!(answer.integration.expect("there").status(), IntegrationStatus::Configured);
    assert!(!answer.outcome.expect("an outcome").pending);
    assert_eq!(world.issuance.state().restored, [&*own.id]);
    assert_eq!(vault.get(id).await.expect("there").status(), ConnectionStatus::Active);
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);
    vault.stop().await;
}

#[tokio::test]
async fn one_with_accounts_is_not_deleted_and_one_without_is_gone() {
    let world = World::new().await;
    let vault = world.start().await;
    let own = configured(&vault, client()).await;
    let id = connected(&vault, &world, &own.id).await;
    let delete = async || {
        let request = DeleteIntegrationRequest { integration_id: own.id.clone() };
        vault.integrations().delete_integration(vault.by_owner(request)).await
    };
    let refused = Failure::from(delete().await.expect_err("in use"));
    assert_eq!((refused.kind, &*refused.reason), (ErrorKind::Conflict, "integration_in_use"));
    vault.delete(id).await.expect("deleted");
    assert!(delete().await.expect("deleted").into_inner().outcome.expect("one").receipt.is_some());
    let get = GetIntegrationRequest { integration_id: own.id.clone() };
    let gone = vault.integrations().get_integration(vault.by_owner(get)).await;
    assert_eq!(Failure::from(gone.expect_err("gone")).reason, "integration_not_found");
    vault.stop().await;
}

#[tokio::test]
async fn the_client_itself_can_be_the_account() {
    let world = World::new().await;
    let vault = world.start().await;
    let mut request = client();
    request.set_grant_type(GrantType::ClientCredentials);
    let own = configured(&vault, request).await;
    assert_eq!(own.callback_url, "");
    let refused = connect(&vault, &own.id).await.expect_err("no browser");
    assert_eq!(refused.faults[0].field, "integration_id");

    let create = |app: &str| CreateConnectionRequest {
        app_key: app.to_owned(),
        name: "Robot".to_owned(),
        credential: Some(StaticCredential { kind: Some(Kind::IntegrationId(own.id.clone())) }),
        ..Default::default()
    };
    let other = vault.connections().create_connection(vault.by_owner(create("bearer"))).await;
    assert_eq!(Failure::from(other.expect_err("of another app")).kind, ErrorKind::Invalid);
    let made = vault.connections().create_connection(vault.by_owner(create("provider"))).await;
    let made = made.expect("created").into_inner().connection.expect("a connection");
    assert_eq!((&*made.auth_scheme, &*made.integration_id), ("oauth2", &*own.id));
    assert_eq!(made.scopes, ["read", "write"]);
    let mut capability = vault.capability("action.provider.me", Some(made.id.parse().expect("id")));
    capability.integration = Some(own.id.parse().expect("an id"));
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);
    // Ended: the client asks again.
    world.provider.end_access_tokens();
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);
    let kinds: Vec<_> = world.provider.exchanges().into_iter().map(|e| e.grant_type).collect();
    assert_eq!(kinds, ["client_credentials"; 3]);
    vault.stop().await;
}

#[tokio::test]
async fn permissions_and_teams_are_checked_here() {
    let world = World::new().await;
    let vault = world.idle().await;
    let own = configured(&vault, client()).await;
    let id = || own.id.clone();
    let developer = vault.by(team(1), MemberRole::Developer, client());
    let refused = vault.integrations().create_integration(developer).await;
    assert_eq!(Failure::from(refused.expect_err("a developer")).kind, ErrorKind::Forbidden);
    let viewer =
        vault.by(team(1), MemberRole::Viewer, GetIntegrationRequest { integration_id: id() });
    assert!(vault.integrations().get_integration(viewer).await.is_ok());

    let foreign = |failure: Failure| {
        assert_eq!(
            (failure.kind, &*failure.reason),
            (ErrorKind::NotFound, "integration_not_found")
        );
    };
    let mut client = vault.integrations();
    macro_rules! refused {
        ($method:ident, $request:expr) => {
            let request = vault.by(team(2), MemberRole::Owner, $request);
            foreign(Failure::from(client.$method(request).await.expect_err("foreign")));
        };
    }
    refused!(get_integration, GetIntegrationRequest { integration_id: id() });
    refused!(check_integration, CheckIntegrationRequest { integration_id: id() });
    refused!(disable_integration, DisableIntegrationRequest { integration_id: id() });
    refused!(enable_integration, EnableIntegrationRequest { integration_id: id() });
    refused!(delete_integration, DeleteIntegrationRequest { integration_id: id() });
    let update = UpdateIntegrationRequest { integration_id: id(), ..Default::default() };
    refused!(update_integration, update);
    let start =
        StartConnectRequest { integration_id: id(), name: "x".to_owned(), ..Default::default() };
    let start = vault.by(team(2), MemberRole::Owner, start);
    foreign(Failure::from(vault.connects().start_connect(start).await.expect_err("foreign")));
    let list = vault.by(team(2), MemberRole::Owner, ListIntegrationsRequest::default());
    let listed = vault.integrations().list_integrations(list).await.expect("lists");
    assert_eq!(listed.into_inner().integrations, []);
}
