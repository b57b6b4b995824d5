//! From a document to an app, part by part.

use std::collections::BTreeMap;

use keystile_domain::{AppKey, ComponentId, ComponentKind};
use serde_json::{Map, Value, json};
use url::Url;

use super::App;
use crate::{
    component::{About, Component, Source},
    document::Document,
    error::Error,
    extension::{self, DeclaredPoll, Poll},
    limits,
    operation::{self, Inputs, Site},
    reference::{Node, References},
    report::{Line, Report},
    schema::{Direction, Schemas},
    security::Schemes,
    server::Server,
    slug, text,
};

pub(super) fn app(key: AppKey, source: &str) -> Result<(App, Report), Error> {
    let document = Document::parse(source)?;
    let root = Node::root(&document.root);
    let references = References { root: &document.root };
    let mut report = Report::default();

    let info = root.child("info");
    let name = info.as_ref().and_then(|info| info.text("title")).unwrap_or_default();
    let name = text::name(name);
    if name.is_empty() {
        let problem = "an app needs a title".to_owned();
        return Err(Error::Document { pointer: "/info/title".to_owned(), problem });
    }
    let description = info.as_ref().and_then(|info| info.text("description")).unwrap_or_default();
    check_top(&root, &mut report);

    let mut schemes = Schemes::parse(&root, references, &mut report);
    let mut build = Build {
        key,
        root: root.clone(),
        references,
        schemas: Schemas::new(references, document.version),
        components: BTreeMap::new(),
        operations: BTreeMap::new(),
        seen: 0,
        report,
    };
    build.actions(&mut schemes)?;
    build.webhooks()?;
    build.polls()?;
    build.weigh()?;
    if build.components.is_empty() {
        build.report.add(root.line("the app has no actions and no triggers"));
    }
    let mut report = build.report;
    let app = App {
        name,
        description: text::description(description),
        icon: extension::icon(&root, &mut report),
        server: server(&root, &mut report),
        connects: schemes.declared,
        security: schemes.into_list(),
        limits: extension::top(&root, "x-keystile-limits", &mut report).unwrap_or_default(),
        signature: extension::top(&root, "x-keystile-signature", &mut report),
        delivery: extension::top(&root, "x-keystile-delivery", &mut report),
        components: build.components,
        key: build.key,
    };
    Ok((app, report))
}

/// Names what stands at the top and is not read: most often a typing error.
fn check_top(root: &Node<'_>, report: &mut Report) {
    for (name, node) in root.members() {
        let known = match name {
            "openapi" | "info" | "servers" | "paths" | "webhooks" | "components" | "security"
            | "tags" | "externalDocs" => true,
            "jsonSchemaDialect" => {
                node.value == "https://json-schema.org/draft/2020-12/schema"
                    || node.value == "https://spec.openapis.org/oas/3.1/dialect/base"
            }
            name if name.starts_with("x-keystile-") => extension::TOP.contains(&name),
            name => name.starts_with("x-"),
        };
        if !known {
            report.add(node.line("not known here"));
        }
    }
}

fn server(root: &Node<'_>, report: &mut Report) -> Option<Server> {
    let servers = root.child("servers");
    let mut all = servers.iter().flat_map(Node::items);
    let Some(first) = all.next() else {
        report.add(root.line("no server: components can be granted and verified, not run"));
        return None;
    };
    for other in all {
        report.add(other.line("only the first server is used"));
    }
    report.keep(Server::parse(&first))
}

struct Build<'a> {
    key: AppKey,
    root: Node<'a>,
    references: References<'a>,
    schemas: Schemas<'a>,
    components: BTreeMap<ComponentId, Component>,
    /// Actions by the `operationId` of the document.
    operations: BTreeMap<&'a str, ComponentId>,
    seen: usize,
    report: Report,
}

impl<'a> Build<'a> {
    /// Counts one more component, mapped or not, against the limits.
    fn count(&mut self) -> Result<(), Error> {
        self.seen += 1;
        if self.seen > limits::COMPONENTS {
            return Err(Error::TooLarge { what: "operations", limit: limits::COMPONENTS });
        }
        self.weigh()
    }

    fn weigh(&self) -> Result<(), Error> {
        if self.schemas.full() {
            let limit = limits::APP_SCHEMA_BYTES;
            return Err(Error::TooLarge { what: "bytes of schemas", limit });
        }
        Ok(())
    }

    fn add(&mut self, node: &Node<'_>, component: Result<Component, Line>) -> Option<ComponentId> {
        let component = self.report.keep(component)?;
        let id = component.id.clone();
        if self.components.contains_key(&id) {
            self.report.add(node.line(format!("{id} is taken: left out")));
            return None;
        }
        self.components.insert(id.clone(), component);
        Some(id)
    }

    fn id(&self, node: &Node<'_>, kind: ComponentKind, name: &str) -> Result<ComponentId, Line> {
        ComponentId::new(kind, &self.key, &slug::slug(name)).map_err(|_| {
            node.line(format!(
                "its name has no letters a-z or more than {} characters: left out",
                ComponentId::MAX_NAME_LEN
            ))
        })
    }

    fn actions(&mut self, schemes: &mut Schemes) -> Result<(), Error> {
        let paths = self.root.child("paths");
        for (path, item) in paths.iter().flat_map(Node::members) {
            let Some(item) = self.report.keep(self.references.resolve(item)) else { continue };
            for site in operation::sites(path, &item, &mut self.report) {
                self.count()?;
                let action = self.action(&site, schemes);
                let id = self.add(&site.node, action);
                if let (Some(name), Some(id)) = (site.node.text("operationId"), id) {
                    self.operations.insert(name, id);
                }
            }
        }
        Ok(())
    }

    fn action(&mut self, site: &Site<'a>, schemes: &mut Schemes) -> Result<Component, Line> {
        let node = &site.node;
        let derived = format!("{} {}", site.method.as_str().to_lowercase(), site.key);
        let name = node.text("operationId").unwrap_or(&derived);
        let id = self.id(node, ComponentKind::Action, name)?;
        let security = node.child("security").or_else(|| self.root.child("security"));
        let scopes = security.map_or_else(|| Ok(Vec::new()), |asked| schemes.scopes(&asked))?;
        let mapped = site.map(&mut self.schemas, schemes, &mut self.report)?;
        let words = about(node, &id, scopes);
        let source = Source::Operation(mapped.operation);
        Component::new(node, id, words, source, mapped.inputs, mapped.outputs, &mut self.report)
    }

    fn webhooks(&mut self) -> Result<(), Error> {
        let webhooks = self.root.child("webhooks");
        for (name, item) in webhooks.iter().flat_map(Node::members) {
            let Some(item) = self.report.keep(self.references.resolve(item)) else { continue };
            self.count()?;
            let Some(node) = item.child("post") else {
                self.report.add(item.line("a webhook is a post: left out"));
                continue;
            };
            let trigger = self.webhook(&node, name);
            self.add(&node, trigger);
        }
        Ok(())
    }

    fn webhook(&mut self, node: &Node<'a>, name: &str) -> Result<Component, Line> {
        let id = self.id(node, ComponentKind::Trigger, node.text("operationId").unwrap_or(name))?;
        let body =
            node.child("requestBody").map(|body| self.references.resolve(body)).transpose()?;
        let schema = body.and_then(|body| {
            let content = body.child("content")?;
            let (_, media) = content.members().find(|(media, _)| operation::is_json(media))?;
            media.child("schema")
        });
        let outputs = if let Some(schema) = schema {
            self.schemas.translate(&schema, Direction::Out, &mut self.report)?
        } else {
            self.report.add(node.line("no JSON body is described: events may be anything"));
            json!({})
        };
        let event = node.text("x-keystile-event").unwrap_or(name).to_owned();
        let words = about(node, &id, Vec::new());
        let inputs = Inputs { schema: operation::no_inputs(), required: Vec::new() };
        let source = Source::Webhook { event };
        Component::new(node, id, words, source, inputs, outputs, &mut self.report)
    }

    fn polls(&mut self) -> Result<(), Error> {
        let polls = self.root.child("x-keystile-poll");
        for (name, node) in polls.iter().flat_map(Node::members) {
            self.count()?;
            let trigger = self.poll(&node, name);
            self.add(&node, trigger);
        }
        Ok(())
    }

    fn poll(&mut self, node: &Node<'a>, name: &str) -> Result<Component, Line> {
        let declared: DeclaredPoll = extension::read(node)?;
        let id = self.id(node, ComponentKind::Trigger, name)?;
        let action = self
            .operations
            .get(declared.operation.as_str())
            .and_then(|id| self.components.get(id))
            .ok_or_else(|| node.line("names an operation that is not mapped: left out"))?;
        let cursor = declared.cursor.as_ref().map(|cursor| &cursor.input);
        let fixed: Vec<&String> = declared.with.keys().chain(cursor).collect();
        for name in &fixed {
            if action.inputs.pointer(&crate::reference::join("/properties", name)).is_none() {
                let problem = format!("the operation has no input {name}: left out");
                return Err(node.line(problem));
            }
        }
        let own = |name: &String| !fixed.contains(&name);
        let properties: Map<String, Value> = action.inputs["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| own(name))
            .map(|(name, schema)| (name.clone(), schema.clone()))
            .collect();
        let required: Vec<String> =
            action.required.iter().filter(|name| own(name)).cloned().collect();
        let mut schema = operation::no_inputs();
        schema["properties"] = Value::Object(properties);
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        let outputs = item(&action.outputs, declared.items.as_str())
            .ok_or_else(|| node.line("items is no list of the operation's output: left out"))?;
        // A poll carries its own copy of what its action takes and gives.
        self.schemas.charge(action.inputs.to_string().len() + action.outputs.to_string().len());
        let mut words = about(node, &id, action.scopes.clone());
        words.reference = words.reference.or_else(|| action.reference.clone());
        let source = Source::Poll(Poll {
            action: action.id.clone(),
            with: declared.with,
            interval: declared.interval,
            items: declared.items,
            id: declared.id,
            cursor: declared.cursor,
        });
        let inputs = Inputs { schema, required };
        Component::new(node, id, words, source, inputs, outputs, &mut self.report)
    }
}

/// What the document says about a component in words.
fn about(node: &Node<'_>, id: &ComponentId, scopes: Vec<String>) -> About {
    let summary = text::name(node.text("summary").unwrap_or_default());
    let description = node.text("description").unwrap_or_default();
    About {
        name: if summary.is_empty() { slug::title(id.name()) } else { summary },
        description: text::description(description),
        scopes,
        reference: node
            .child("externalDocs")
            .and_then(|docs| Url::parse(docs.text("url")?).ok())
            .filter(|url| matches!(url.scheme(), "https" | "http")),
    }
}

/// The schema of the items of the list at `pointer` in a value of the schema `outputs`.
fn item(outputs: &Value, pointer: &str) -> Option<Value> {
    let mut at = outputs;
    for token in pointer.split('/').skip(1) {
        at = at.get("properties")?.get(token.replace("~1", "/").replace("~0", "~"))?;
    }
    at.get("items").cloned()
}
