//! The documents inside the binary.

use std::collections::BTreeMap;

use keystile_catalog::{App, AuthScheme, Catalog, Source, extension::Part};
use serde_json::json;
use url::Url;

const DOCUMENTS: [(&str, &str); 4] = [
    ("github", include_str!("../../apps/github.yaml")),
    ("gmail", include_str!("../../apps/gmail.yaml")),
    ("sandbox", include_str!("../../apps/sandbox.yaml")),
    ("slack", include_str!("../../apps/slack.yaml")),
];

fn catalog() -> Catalog {
    Catalog::shipped().with_sandbox(&Url::parse("http://127.0.0.1:4321").expect("a url"))
}

#[test]
fn every_shipped_document_maps_without_a_line() {
    for (key, text) in DOCUMENTS {
        let (_, report) = App::parse(key.parse().expect("a key"), text).expect(key);
        assert!(report.is_empty(), "{key}: {report:#?}");
    }
}

#[test]
fn every_component_cites_its_reference_and_says_what_it_does() {
    for app in catalog().apps() {
        assert!(!app.name.is_empty() && !app.description.is_empty() && app.icon.is_some());
        assert!(app.needs_connection(), "{}", app.key);
        for component in app.components.values() {
            let id = &component.id;
            assert!(component.reference.is_some(), "{id}");
            assert!(!component.name.is_empty() && !component.description.is_empty(), "{id}");
            assert_eq!(component.inputs["additionalProperties"], json!(false), "{id}");
            let inputs = component.inputs["properties"].as_object().expect("properties");
            for (name, schema) in inputs {
                assert!(schema.get("description").is_some(), "{id} {name}");
            }
            for schema in [&component.inputs, &component.outputs] {
                assert!(!schema.to_string().contains("$ref"), "{id}");
                assert_ne!(schema, &json!({}), "{id}");
            }
        }
    }
}

#[test]
fn the_components_and_their_required_inputs_and_scopes_are_pinned() {
    let lines: Vec<String> = catalog()
        .apps()
        .flat_map(|app| app.components.values())
        .map(|component| {
            let scopes = component.scopes.join(" ");
            format!("{} ({}) {scopes}", component.id, component.required.join(", "))
                .trim()
                .to_owned()
        })
        .collect();
    assert_eq!(
        lines,
        [
            "action.github.create-issue (owner, repo, title) repo",
            "action.github.create-issue-comment (body, issue_number, owner, repo) repo",
            "action.github.get-issue (issue_number, owner, repo) repo",
            "action.github.get-repo (owner, repo) repo",
            "action.github.list-issues (owner, repo) repo",
            "action.github.list-repos () repo",
            "trigger.github.issues ()",
            "trigger.github.push ()",
            "action.gmail.get-message (id) https://www.googleapis.com/auth/gmail.readonly",
            "action.gmail.list-labels () https://www.googleapis.com/auth/gmail.labels",
            "action.gmail.list-messages () https://www.googleapis.com/auth/gmail.readonly",
            "action.gmail.send-email (raw) https://www.googleapis.com/auth/gmail.send",
            "trigger.gmail.new-message () https://www.googleapis.com/auth/gmail.readonly",
            "action.sandbox.create-note (title)",
            "action.sandbox.delete-note (noteId)",
            "action.sandbox.echo (message)",
            "action.sandbox.get-note (noteId)",
            "action.sandbox.list-notes ()",
            "action.sandbox.who-am-i ()",
            "trigger.sandbox.note-created ()",
            "action.slack.chat-post-message (channel) chat:write",
            "action.slack.conversations-list () channels:read",
            "action.slack.reactions-add (channel, name, timestamp) reactions:write",
            "action.slack.users-info (user) users:read",
            "trigger.slack.message ()",
            "trigger.slack.reaction-added ()",
        ]
    );
}

#[test]
fn each_app_is_reached_and_connected_to_as_its_reference_says() {
    let catalog = catalog();
    let none = BTreeMap::new();
    let app = |key: &str| catalog.app(&key.parse().expect("a key")).expect("an app");
    for (key, base, schemes) in [
        ("github", "https://api.github.com/", 2),
        ("gmail", "https://gmail.googleapis.com/", 1),
        ("slack", "https://slack.com/api", 2),
        ("sandbox", "http://127.0.0.1:4321/", 1),
    ] {
        assert_eq!(app(key).base_url(&none).expect("a base").as_str(), base);
        assert_eq!(app(key).security.len(), schemes, "{key}");
    }
    assert_eq!(app("sandbox").security, [AuthScheme::Bearer]);
    for component in app("sandbox").components.values() {
        let reference = component.reference.as_ref().expect("a reference");
        assert!(reference.as_str().starts_with("http://127.0.0.1:4321/openapi.yaml#"));
    }
    let AuthScheme::OAuth2(oauth) = &app("gmail").security[0] else {
        panic!("gmail connects with OAuth");
    };
    let code = oauth.authorization_code.as_ref().expect("a person consents");
    assert_eq!(code.authorization_url.as_str(), "https://accounts.google.com/o/oauth2/v2/auth");
    assert_eq!(code.token_url.as_str(), "https://oauth2.googleapis.com/token");
    // Whatever an operation asks for, its scheme explains.
    for component in app("gmail").components.values() {
        assert!(component.scopes.iter().all(|scope| code.scopes.contains_key(scope)));
    }
    let github = app("github").delivery.as_ref().expect("github's deliveries");
    assert!(matches!(&github.event, Some(Part::Header(name)) if name.name() == "x-github-event"));
    assert!(app("slack").signature.as_ref().is_some_and(|how| how.tolerance.is_some()));
}

#[test]
fn a_request_to_github_carries_the_version_and_no_input_for_it() {
    let catalog = catalog();
    let id = "action.github.create-issue".parse().expect("an id");
    let component = catalog.component(&id).expect("a component");
    let app = catalog.app(&id.app_key()).expect("an app");
    let inputs =
        json!({ "owner": "octo", "repo": "hello", "title": "It broke", "labels": ["bug"] });
    assert_eq!(component.validate(&inputs), Ok(()));
    let base = app.base_url(&BTreeMap::new()).expect("a base");
    let request = component.request(app, &base, &inputs).expect("a request");
    assert_eq!(request.url.as_str(), "https://api.github.com/repos/octo/hello/issues");
    assert_eq!(request.headers["x-github-api-version"], "2022-11-28");
    let (kind, body) = request.body.expect("a body");
    assert_eq!(kind, "application/json");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body, json!({ "title": "It broke", "labels": ["bug"] }));
    assert!(component.inputs["properties"].get("X-GitHub-Api-Version").is_none());
}

#[test]
fn the_gmail_poll_is_an_action_without_what_the_poll_sets() {
    let catalog = catalog();
    let id = "trigger.gmail.new-message".parse().expect("an id");
    let trigger = catalog.component(&id).expect("a trigger");
    let Source::Poll(poll) = &trigger.source else { panic!("it polls") };
    assert_eq!(poll.action.as_str(), "action.gmail.list-messages");
    assert_eq!(poll.interval.as_secs(), 60);
    let inputs: Vec<_> =
        trigger.inputs["properties"].as_object().expect("properties").keys().collect();
    assert_eq!(inputs, ["includeSpamTrash", "labelIds", "q"]);
    assert_eq!(trigger.outputs["required"], json!(["id", "threadId"]));
    let base = Url::parse("https://gmail.googleapis.com").expect("a url");
    let app = catalog.app(&id.app_key()).expect("an app");
    assert!(trigger.request(app, &base, &json!({})).is_err());
}
