//! The documents inside the binary.

use std::collections::BTreeMap;

use keystile_catalog::{
    App, AuthScheme, Catalog, OAuth2, OutsideRequest, Source,
    extension::{Part, Rate, ScopeSeparator},
};
use serde_json::{Value, json};
use url::Url;

/// The documents by key, as they stand in `apps/`.
fn documents() -> BTreeMap<String, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/apps");
    std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            let path = entry.expect("a file").path();
            let key = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (key, std::fs::read_to_string(path).expect("text"))
        })
        .collect()
}

fn catalog() -> Catalog {
    Catalog::shipped().with_sandbox(&Url::parse("http://127.0.0.1:4321").expect("a url"))
}

fn oauth(app: &App) -> Option<&OAuth2> {
    app.security.iter().find_map(|scheme| match scheme {
        AuthScheme::OAuth2(oauth) => Some(&**oauth),
        _ => None,
    })
}

#[test]
fn every_document_ships_and_maps_without_a_line() {
    let documents = documents();
    let shipped: Vec<_> = catalog().apps().map(|app| app.key.to_string()).collect();
    assert_eq!(shipped, documents.keys().cloned().collect::<Vec<_>>());
    for (key, text) in documents {
        let (_, report) = App::parse(key.parse().expect("a key"), &text).expect(&key);
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
            "action.google-sheets.append-values (range, spreadsheetId, valueInputOption, values) \
             https://www.googleapis.com/auth/spreadsheets",
            "action.google-sheets.batch-get-values (ranges, spreadsheetId) \
             https://www.googleapis.com/auth/spreadsheets.readonly",
            "action.google-sheets.clear-values (range, spreadsheetId) \
             https://www.googleapis.com/auth/spreadsheets",
            "action.google-sheets.create-spreadsheet () \
             https://www.googleapis.com/auth/spreadsheets",
            "action.google-sheets.get-spreadsheet (spreadsheetId) \
             https://www.googleapis.com/auth/spreadsheets.readonly",
            "action.google-sheets.get-values (range, spreadsheetId) \
             https://www.googleapis.com/auth/spreadsheets.readonly",
            "action.google-sheets.update-values (range, spreadsheetId, valueInputOption, values) \
             https://www.googleapis.com/auth/spreadsheets",
            "action.hubspot.create-company (properties) crm.objects.companies.write",
            "action.hubspot.create-contact (properties) crm.objects.contacts.write",
            "action.hubspot.create-deal (properties) crm.objects.deals.write",
            "action.hubspot.get-contact (contactId) crm.objects.contacts.read",
            "action.hubspot.list-owners () crm.objects.owners.read",
            "action.hubspot.search-contacts () crm.objects.contacts.read",
            "action.hubspot.update-contact (contactId, properties) crm.objects.contacts.write",
            "trigger.hubspot.new-contact () crm.objects.contacts.read",
            "action.linear.create-comment (variables) read comments:create",
            "action.linear.create-issue (variables) read issues:create",
            "action.linear.get-issue (variables) read",
            "action.linear.get-viewer () read",
            "action.linear.list-issues () read",
            "action.linear.list-states (variables) read",
            "action.linear.list-teams () read",
            "action.linear.update-issue (variables) read write",
            "trigger.linear.comment ()",
            "trigger.linear.issue ()",
            "action.notion.append-block-children (block_id, children)",
            "action.notion.create-page ()",
            "action.notion.get-data-source (data_source_id)",
            "action.notion.get-page (page_id)",
            "action.notion.list-block-children (block_id)",
            "action.notion.list-users ()",
            "action.notion.query-data-source (data_source_id)",
            "action.notion.search ()",
            "action.notion.update-page (page_id)",
            "trigger.notion.new-row (data_source_id)",
            "action.salesforce.create-record (body, sObject) api refresh_token",
            "action.salesforce.delete-record (id, sObject) api refresh_token",
            "action.salesforce.describe-object (sObject) api refresh_token",
            "action.salesforce.get-record (id, sObject) api refresh_token",
            "action.salesforce.query (q) api refresh_token",
            "action.salesforce.query-more (queryLocator) api refresh_token",
            "action.salesforce.update-record (body, id, sObject) api refresh_token",
            "action.sandbox.create-note (title) notes.write",
            "action.sandbox.delete-note (noteId) notes.write",
            "action.sandbox.echo (message)",
            "action.sandbox.get-note (noteId) notes.read",
            "action.sandbox.list-notes () notes.read",
            "action.sandbox.who-am-i ()",
            "trigger.sandbox.note-created ()",
            "action.slack.chat-post-message (channel) chat:write",
            "action.slack.conversations-list () channels:read",
            "action.slack.reactions-add (channel, name, timestamp) reactions:write",
            "action.slack.users-info (user) users:read",
            "trigger.slack.message ()",
            "trigger.slack.reaction-added ()",
            "action.stripe.create-customer () read_write",
            "action.stripe.create-payment-link (line_items) read_write",
            "action.stripe.create-refund () read_write",
            "action.stripe.get-balance () read_write",
            "action.stripe.get-customer (customer) read_write",
            "action.stripe.list-charges () read_write",
            "action.stripe.list-customers () read_write",
            "action.stripe.list-prices () read_write",
            "trigger.stripe.checkout-session-completed ()",
            "trigger.stripe.invoice-paid ()",
        ]
    );
}

#[test]
fn each_app_is_reached_and_connected_to_as_its_reference_says() {
    let catalog = catalog();
    let app = |key: &str| catalog.app(&key.parse().expect("a key")).expect("an app");
    let domain = BTreeMap::from([("domain".to_owned(), "acme".to_owned())]);
    let (none, acme) = (BTreeMap::new(), &domain);
    for (key, variables, base, schemes) in [
        ("github", &none, "https://api.github.com/", 2),
        ("gmail", &none, "https://gmail.googleapis.com/", 1),
        ("google-sheets", &none, "https://sheets.googleapis.com/", 1),
        ("hubspot", &none, "https://api.hubapi.com/", 2),
        ("linear", &none, "https://api.linear.app/", 2),
        ("notion", &none, "https://api.notion.com/", 2),
        ("salesforce", acme, "https://acme.my.salesforce.com/services/data/v67.0", 2),
        ("sandbox", &none, "http://127.0.0.1:4321/", 2),
        ("slack", &none, "https://slack.com/api", 2),
        ("stripe", &none, "https://api.stripe.com/", 2),
    ] {
        assert_eq!(app(key).base_url(variables).expect("a base").as_str(), base);
        assert_eq!(app(key).security.len(), schemes, "{key}");
    }
    assert!(app("salesforce").base_url(&none).is_err(), "any default is somebody's org");
    for component in app("sandbox").components.values() {
        let reference = component.reference.as_ref().expect("a reference");
        assert!(reference.as_str().starts_with("http://127.0.0.1:4321/openapi.yaml#"));
    }
    let github = app("github").delivery.as_ref().expect("github's deliveries");
    assert!(matches!(&github.event, Some(Part::Header(name)) if name.name() == "x-github-event"));
    assert!(app("slack").signature.as_ref().is_some_and(|how| how.tolerance.is_some()));
}

#[test]
fn whatever_scope_an_operation_asks_for_its_scheme_explains() {
    for app in catalog().apps() {
        let scopes = oauth(app).map(OAuth2::scopes).unwrap_or_default();
        for component in app.components.values() {
            for scope in &component.scopes {
                let words = scopes.get(scope.as_str());
                assert!(words.is_some_and(|words| !words.is_empty()), "{} {scope}", component.id);
            }
        }
    }
}

/// A line for each app that connects with OAuth: where, and what it does not leave to the standard.
#[test]
fn the_ways_of_each_authorization_server_are_pinned() {
    let lines: Vec<String> = catalog()
        .apps()
        .filter_map(|app| Some((app, oauth(app)?)))
        .map(|(app, oauth)| {
            let code = oauth.authorization_code.as_ref().expect("a person consents");
            assert!(code.refresh_url.is_none(), "{}", app.key);
            let dialect = &oauth.dialect;
            let mut words = vec![
                app.key.to_string(),
                code.authorization_url.to_string(),
                code.token_url.to_string(),
            ];
            words.extend(dialect.revocation_url.as_ref().map(|url| format!("revoke={url}")));
            words.extend(dialect.issuer.as_ref().map(|text| format!("issuer={}", text.as_str())));
            words.extend(dialect.authorize.iter().map(|(name, value)| format!("{name}={value}")));
            words.extend(dialect.client_authentication.map(|how| format!("{how:?}")));
            if dialect.scope_separator != ScopeSeparator::Space {
                words.push(format!("scopes with {}", dialect.scope_separator.as_str()));
            }
            if !dialect.pkce {
                words.push("without PKCE".to_owned());
            }
            words.join(" ")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "github https://github.com/login/oauth/authorize \
             https://github.com/login/oauth/access_token Post",
            "gmail https://accounts.google.com/o/oauth2/v2/auth https://oauth2.googleapis.com/token \
             revoke=https://oauth2.googleapis.com/revoke issuer=https://accounts.google.com \
             access_type=offline prompt=consent Post",
            "google-sheets https://accounts.google.com/o/oauth2/v2/auth \
             https://oauth2.googleapis.com/token revoke=https://oauth2.googleapis.com/revoke \
             issuer=https://accounts.google.com access_type=offline prompt=consent Post",
            "hubspot https://app.hubspot.com/oauth/authorize \
             https://api.hubapi.com/oauth/2026-03/token \
             revoke=https://api.hubapi.com/oauth/2026-03/token/revoke Post",
            "linear https://linear.app/oauth/authorize https://api.linear.app/oauth/token \
             revoke=https://api.linear.app/oauth/revoke Post scopes with ,",
            "notion https://api.notion.com/v1/oauth/authorize?owner=user \
             https://api.notion.com/v1/oauth/token Basic without PKCE",
            "salesforce https://login.salesforce.com/services/oauth2/authorize \
             https://login.salesforce.com/services/oauth2/token \
             revoke=https://login.salesforce.com/services/oauth2/revoke Post",
            "sandbox http://127.0.0.1:4321/oauth/authorize http://127.0.0.1:4321/oauth/token \
             revoke=http://127.0.0.1:4321/oauth/revoke",
            "slack https://slack.com/oauth/v2/authorize https://slack.com/api/oauth.v2.access \
             revoke=https://slack.com/api/auth.revoke Post scopes with , without PKCE",
            "stripe https://connect.stripe.com/oauth/authorize \
             https://connect.stripe.com/oauth/token Post without PKCE",
        ]
    );
}

#[test]
fn the_sandbox_connects_in_every_way_and_only_to_where_it_lives() {
    let catalog = catalog();
    let app = catalog.app(&"sandbox".parse().expect("a key")).expect("the sandbox");
    assert!(app.security.contains(&AuthScheme::Bearer));
    let oauth = oauth(app).expect("it connects with OAuth, too");
    let client = oauth.client_credentials.as_ref().expect("a client may act for itself");
    assert_eq!(client.token_url.as_str(), "http://127.0.0.1:4321/oauth/token");
    let code = oauth.authorization_code.as_ref().expect("a person consents");
    assert_eq!(client.scopes, code.scopes);
    assert_eq!(oauth.scopes().into_keys().collect::<Vec<_>>(), ["notes.read", "notes.write"]);
    let base = Url::parse("http://127.0.0.1:4321").expect("a url");
    assert!(!Catalog::sandbox_document(&base).contains("8085"));
}

#[test]
fn what_each_provider_takes_from_one_connection_is_pinned() {
    let lines: Vec<String> = catalog()
        .apps()
        .filter_map(|app| {
            let Rate { requests, per } = app.limits.rate?;
            let at_once = app.limits.concurrency.map(|count| format!(" {count} at once"));
            let at_once = at_once.unwrap_or_default();
            Some(format!("{} {requests} in {} s{at_once}", app.key, per.as_secs()))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "github 5000 in 3600 s 100 at once",
            "google-sheets 60 in 60 s",
            "hubspot 100 in 10 s",
            "linear 5000 in 3600 s",
            "notion 180 in 60 s",
            "stripe 25 in 1 s",
        ]
    );
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

/// The request that runs an action of a shipped app.
fn request(component: &str, variables: &[(&str, &str)], inputs: &Value) -> OutsideRequest {
    let catalog = catalog();
    let id = component.parse().expect("an id");
    let component = catalog.component(&id).expect("a component");
    assert_eq!(component.validate(inputs), Ok(()));
    let app = catalog.app(&id.app_key()).expect("an app");
    let variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let base = app.base_url(&variables).expect("a base");
    component.request(app, &base, inputs).expect("a request")
}

fn text(request: OutsideRequest) -> (&'static str, String) {
    let (kind, bytes) = request.body.expect("a body");
    (kind, String::from_utf8(bytes).expect("text"))
}

#[test]
fn a_request_to_linear_carries_its_query_and_the_caller_only_the_variables() {
    let inputs = json!({ "variables": { "teamId": "t", "title": "It broke" } });
    let sent = request("action.linear.create-issue", &[], &inputs);
    assert_eq!(sent.url.as_str(), "https://api.linear.app/graphql");
    let (kind, body) = text(sent);
    assert_eq!(kind, "application/json");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["variables"], inputs["variables"]);
    let query = body["query"].as_str().expect("a query");
    assert!(
        query.starts_with("mutation CreateIssue($teamId: String!, $title: String!, "),
        "{query}"
    );
    assert!(query.contains("issueCreate(input: { teamId: $teamId, title: $title, "), "{query}");

    let (_, body) = text(request("action.linear.get-viewer", &[], &json!({})));
    assert!(body.starts_with(r#"{"query":"query Viewer { viewer { id name "#), "{body}");
    for component in
        catalog().app(&"linear".parse().expect("a key")).expect("linear").components.values()
    {
        assert!(component.inputs["properties"].get("query").is_none(), "{}", component.id);
    }
}

#[test]
fn a_request_to_stripe_writes_what_is_nested_in_brackets() {
    let inputs = json!({
        "line_items": [{ "price": "price_1", "quantity": 2 }],
        "after_completion": { "type": "redirect", "redirect": { "url": "https://acme.example" } },
        "metadata": { "order": "a&b" },
    });
    let sent = request("action.stripe.create-payment-link", &[], &inputs);
    assert_eq!(sent.headers["stripe-version"], "2026-09-30.endive");
    let (kind, body) = text(sent);
    assert_eq!(kind, "application/x-www-form-urlencoded");
    let pairs: Vec<&str> = body.split('&').collect();
    assert_eq!(
        pairs,
        [
            "after_completion%5Bredirect%5D%5Burl%5D=https%3A%2F%2Facme.example",
            "after_completion%5Btype%5D=redirect",
            "line_items%5B0%5D%5Bprice%5D=price_1",
            "line_items%5B0%5D%5Bquantity%5D=2",
            "metadata%5Border%5D=a%26b",
        ]
    );
}

#[test]
fn a_request_to_salesforce_goes_to_the_org_of_the_connection() {
    let inputs = json!({ "sObject": "Account", "body": { "Name": "Acme", "Parent__c": null } });
    let sent = request("action.salesforce.create-record", &[("domain", "acme")], &inputs);
    let base = "https://acme.my.salesforce.com/services/data/v67.0";
    assert_eq!(sent.url.as_str(), format!("{base}/sobjects/Account"));
    assert_eq!(text(sent).1, r#"{"Name":"Acme","Parent__c":null}"#);
}

#[test]
fn a_request_to_google_sheets_names_its_range_in_the_path() {
    let inputs = json!({
        "spreadsheetId": "abc", "range": "Sheet 1!A1:B2", "valueInputOption": "RAW",
        "values": [["a", 1], [null, true]],
    });
    let sent = request("action.google-sheets.append-values", &[], &inputs);
    assert_eq!(
        sent.url.as_str(),
        "https://sheets.googleapis.com/v4/spreadsheets/abc/values/Sheet%201%21A1%3AB2:append\
         ?valueInputOption=RAW"
    );
}

#[test]
fn a_request_to_notion_carries_the_version() {
    let sent = request("action.notion.search", &[], &json!({ "query": "Roadmap" }));
    assert_eq!(sent.headers["notion-version"], "2026-03-11");
    assert_eq!(text(sent).1, r#"{"query":"Roadmap"}"#);
}
