//! One action or trigger of an app.

use keystile_domain::{ComponentId, ComponentKind};
use serde_json::Value;
use url::Url;

use crate::{
    extension::Poll,
    operation::{Inputs, Operation},
    reference::Node,
    report::{Line, Report},
    validate::{self, Check, Fault},
};

/// What a component does, by where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An action: runs an operation.
    Operation(Operation),
    /// A trigger: the provider sends what happens.
    Webhook {
        /// The name that the provider gives the event.
        event: String,
    },
    /// A trigger: an action is asked for what is new.
    Poll(Poll),
}

/// One action or trigger.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its id.
    pub id: ComponentId,
    /// What a person calls it.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// Action or trigger.
    pub kind: ComponentKind,
    /// JSON Schema 2020-12 of the inputs: an object without other properties, and without `$ref`.
    pub inputs: Value,
    /// JSON Schema 2020-12 of what it answers or delivers, without `$ref`.
    pub outputs: Value,
    /// The inputs that must be there.
    pub required: Vec<String>,
    /// The OAuth scopes that the connection must hold.
    pub scopes: Vec<String>,
    /// The page of the provider's reference that describes it.
    pub reference: Option<Url>,
    /// Where it comes from.
    pub source: Source,
    check: Check,
}

/// What a document says about a component in words.
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) reference: Option<Url>,
}

impl Component {
    pub(crate) fn new(
        node: &Node<'_>,
        id: ComponentId,
        about: About,
        source: Source,
        inputs: Inputs,
        outputs: Value,
        report: &mut Report,
    ) -> Result<Self, Line> {
        let check = validate::compile(&inputs.schema).map_err(|fault| {
            node.line(format!("its input schema is not valid ({fault}): left out"))
        })?;
        let outputs = if jsonschema::draft202012::meta::is_valid(&outputs) {
            outputs
        } else {
            report.add(node.line("its output schema is not valid: outputs may be anything"));
            serde_json::json!({})
        };
        Ok(Self {
            kind: id.kind(),
            id,
            name: about.name,
            description: about.description,
            inputs: inputs.schema,
            outputs,
            required: inputs.required,
            scopes: about.scopes,
            reference: about.reference,
            source,
            check,
        })
    }

    /// The operation that an action runs.
    pub const fn operation(&self) -> Option<&Operation> {
        match &self.source {
            Source::Operation(operation) => Some(operation),
            Source::Webhook { .. } | Source::Poll(_) => None,
        }
    }

    /// Checks `inputs` against the schema of the inputs.
    ///
    /// # Errors
    /// Every fault with its pointer, [`crate::limits::FAULTS`] at most.
    pub fn validate(&self, inputs: &Value) -> Result<(), Vec<Fault>> {
        self.check.run(inputs)
    }
}
