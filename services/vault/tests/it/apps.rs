//! Apps that teams add.

use keystile_contract::{
    Failure,
    proto::vault::v1::{
        AddAppRequest, AddAppResponse, CheckGrantRequest, FetchAppsRequest, GetAppRequest,
        KnownApp, ListAppsRequest, RemoveAppRequest,
    },
};
use keystile_domain::{ErrorKind, MemberRole};
use serde_json::json;

use crate::{
    issuance::Cuts,
    world::{Vault, World, bearer, team},
};

/// A document of the outside app with these operations; the first reads `/echo`.
fn document(world: &World, operations: &[&str], security: &str) -> String {
    let paths = operations.iter().enumerate().map(|(at, id)| {
        let path = if at == 0 { "/echo".to_owned() } else { format!("/status/{}", 200 + at) };
        format!("  {path}: {{ get: {{ operationId: {id}, responses: {{ '200': {{ description: ok }} }} }} }}\n")
    });
    format!(
        "openapi: 3.1.0\ninfo: {{ title: Acme, version: '1' }}\nservers: [{{ url: 'http://{}' }}]\n{security}paths:\n{}",
        world.upstream.address(),
        paths.collect::<String>()
    )
}

const BEARER: &str = "security: [{ auth: [] }]\ncomponents: { securitySchemes: { auth: { type: http, scheme: bearer } } }\n";

async fn add(vault: &Vault, document: String, force: bool) -> Result<AddAppResponse, Failure> {
    let request =
        AddAppRequest { app_key: "acme".to_owned(), document, force, ..Default::default() };
    Ok(vault.apps().add_app(vault.by_owner(request)).await?.into_inner())
}

async fn remove(vault: &Vault, force: bool) -> Result<(), Failure> {
    let request = RemoveAppRequest { app_key: "acme".to_owned(), force };
    vault.apps().remove_app(vault.by_owner(request)).await?;
    Ok(())
}

#[tokio::test]
async fn an_app_that_a_team_added_runs_for_that_team() {
    let world = World::new().await;
    let vault = world.start().await;
    let text = document(&world, &["readEcho", "other"], BEARER);
    let added = add(&vault, text.clone(), false).await.expect("added");
    let app = added.app.expect("an app");
    assert_eq!((app.version, &*app.name, app.component_count, added.stored), (1, "Acme", 2, true));
    assert_eq!(added.added, ["action.acme.other", "action.acme.read-echo"]);
    assert_eq!(added.report, []);
    // The same once more is nothing new.
    let again = add(&vault, text.clone(), false).await.expect("again");
    assert_eq!((again.app.expect("an app").version, again.stored), (1, false));

    let id = vault.link("acme", bearer("t")).await.expect("linked");
    let capability = vault.capability("action.acme.read-echo", Some(id));
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);
    let mut foreign = capability.clone();
    foreign.team = team(2);
    assert_eq!(vault.run(&foreign, json!({})).await.expect_err("another's").reason, "unknown_app");

    let get = GetAppRequest { app_key: "acme".to_owned(), version: 1 };
    let got = vault.apps().get_app(vault.by_owner(get.clone())).await.expect("there");
    assert_eq!(got.into_inner().document, text);
    let other = vault.by(team(2), MemberRole::Owner, get);
    let other = Failure::from(vault.apps().get_app(other).await.expect_err("foreign"));
    assert_eq!((other.kind, &*other.reason), (ErrorKind::NotFound, "unknown_app"));
    let listed = vault.apps().list_apps(vault.by_owner(ListAppsRequest {})).await.expect("lists");
    assert_eq!(listed.into_inner().apps.len(), 1);
    let listed = vault.by(team(2), MemberRole::Owner, ListAppsRequest {});
    assert_eq!(vault.apps().list_apps(listed).await.expect("lists").into_inner().apps, []);
    vault.stop().await;
}

#[tokio::test]
async fn what_keys_hold_stays_unless_it_is_forced() {
    let world = World::new().await;
    let vault = world.idle().await;
    let gone = "action.acme.other";
    add(&vault, document(&world, &["readEcho", "other"], ""), false).await.expect("added");
    world.issuance.state().held.insert(gone.to_owned());
    let next = document(&world, &["readEcho", "more"], "");
    let refused = add(&vault, next.clone(), false).await.expect_err("held");
    assert_eq!((refused.kind, &*refused.reason), (ErrorKind::Conflict, "components_in_use"));
    assert!(refused.message.contains("ci (key_1)"), "{}", refused.message);
    let dry = AddAppRequest {
        app_key: "acme".to_owned(),
        document: next.clone(),
        dry_run: true,
        ..Default::default()
    };
    let dry = vault.apps().add_app(vault.by_owner(dry)).await.expect("told").into_inner();
    assert_eq!((dry.stored, dry.holder_count, &*dry.removed[0]), (false, 1, gone));
    assert!(world.issuance.state().held.contains(gone), "nothing happened");

    // Not stored before the cut is over everywhere.
    world.issuance.state().cuts = Cuts::Pending;
    let pending = add(&vault, next.clone(), true).await.expect_err("pending");
    assert_eq!((pending.kind, &*pending.reason), (ErrorKind::Unavailable, "cut_pending"));
    let get = GetAppRequest { app_key: "acme".to_owned(), version: 0 };
    let now = vault.apps().get_app(vault.by_owner(get)).await.expect("there").into_inner();
    assert_eq!(now.app.expect("an app").version, 1);
    world.issuance.state().cuts = Cuts::Taken;
    let added = add(&vault, next, true).await.expect("forced");
    assert_eq!((added.app.expect("an app").version, added.outcome.is_some()), (2, true));

    let check = CheckGrantRequest {
        team_id: team(1).to_string(),
        app_key: "acme".to_owned(),
        components: vec![gone.to_owned(), "action.acme.more".to_owned()],
        ..Default::default()
    };
    let problems = vault.connections().check_grant(check).await.expect("answers").into_inner();
    let codes: Vec<_> = problems.problems.iter().map(|p| (&*p.component, &*p.code)).collect();
    assert_eq!(codes, [(gone, "unknown_component")]);
}

#[tokio::test]
async fn an_app_that_is_in_use_is_not_removed() {
    let world = World::new().await;
    let vault = world.start().await;
    add(&vault, document(&world, &["readEcho"], BEARER), false).await.expect("added");
    let id = vault.link("acme", bearer("t")).await.expect("linked");
    assert_eq!(remove(&vault, true).await.expect_err("linked").reason, "app_in_use");
    vault.delete(id).await.expect("deleted");
    world.issuance.state().held.insert("action.acme.read-echo".to_owned());
    assert_eq!(remove(&vault, false).await.expect_err("held").reason, "components_in_use");
    remove(&vault, true).await.expect("removed");
    assert_eq!(remove(&vault, true).await.expect_err("gone").reason, "unknown_app");
    // What comes back is the next version.
    let again = add(&vault, document(&world, &["readEcho"], BEARER), false).await.expect("added");
    assert_eq!(again.app.expect("an app").version, 3);
    vault.stop().await;
}

#[tokio::test]
async fn what_is_no_app_is_refused_and_what_is_not_mapped_is_reported() {
    let world = World::new().await;
    let vault = world.idle().await;
    for (key, text, kind, reason) in [
        ("acme", "{}".to_owned(), ErrorKind::Invalid, "document"),
        ("acme", ":\n - [".to_owned(), ErrorKind::Invalid, "document"),
        ("A b", document(&world, &["a"], ""), ErrorKind::Invalid, "app_key"),
        ("bearer", document(&world, &["a"], ""), ErrorKind::Conflict, "app_key_taken"),
    ] {
        let request =
            AddAppRequest { app_key: key.to_owned(), document: text, ..Default::default() };
        let refused = vault.apps().add_app(vault.by_owner(request)).await;
        let refused = Failure::from(refused.expect_err(reason));
        let told = refused.faults.first().map_or(&*refused.reason, |fault| &*fault.field);
        assert_eq!((refused.kind, told), (kind, reason), "{refused:?}");
    }
    let cookie = "security: [{ a: [] }, {}]\ncomponents: { securitySchemes: { a: { type: apiKey, in: cookie, name: s } } }\n";
    let added = add(&vault, document(&world, &["readEcho"], cookie), false).await.expect("added");
    assert!(!added.report.is_empty());

    let developer = AddAppRequest {
        app_key: "mine".to_owned(),
        document: document(&world, &["a"], ""),
        ..Default::default()
    };
    let developer = vault.by(team(1), MemberRole::Developer, developer);
    let refused = vault.apps().add_app(developer).await.expect_err("a developer");
    assert_eq!(Failure::from(refused).kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn others_follow_by_version() {
    let world = World::new().await;
    let vault = world.idle().await;
    let text = document(&world, &["readEcho"], "");
    add(&vault, text.clone(), false).await.expect("added");
    let fetch = async |known: &[u64]| {
        let known =
            known.iter().map(|version| KnownApp { app_key: "acme".to_owned(), version: *version });
        let request = FetchAppsRequest { team_id: team(1).to_string(), known: known.collect() };
        vault.apps().fetch_apps(request).await.expect("answers").into_inner().apps
    };
    let all = fetch(&[]).await;
    assert_eq!((all.len(), all[0].version, &*all[0].document), (1, 1, &*text));
    assert_eq!(fetch(&[1]).await[0].document, "", "known");
    let next = document(&world, &["readEcho", "more"], "");
    add(&vault, next.clone(), false).await.expect("added");
    let newer = fetch(&[1]).await;
    assert_eq!((newer[0].version, &*newer[0].document), (2, &*next));
    remove(&vault, false).await.expect("removed");
    assert_eq!(fetch(&[2]).await, []);
}

/// The document is not sealed: it does not decide where a credential goes that was given before.
#[tokio::test]
async fn a_credential_goes_nowhere_else_than_where_its_app_was() {
    let world = World::new().await;
    let vault = world.start().await;
    let text = document(&world, &["readEcho"], BEARER);
    add(&vault, text.clone(), false).await.expect("added");
    let id = vault.link("acme", bearer("t")).await.expect("linked");
    let capability = vault.capability("action.acme.read-echo", Some(id));
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);
    let sent = world.upstream.received().len();
    let elsewhere = text.replace("http://127.0.0.1:", "http://localhost:");
    add(&vault, elsewhere, false).await.expect("added");
    let refused = vault.run(&capability, json!({})).await.expect_err("elsewhere");
    assert_eq!(refused.reason, "connection_unusable");
    assert_eq!(world.upstream.received().len(), sent);
    add(&vault, text, false).await.expect("added");
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200);
    vault.stop().await;
}
