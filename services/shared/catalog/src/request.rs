//! Inputs to an HTTP request that cannot leave the app's base URL and carries no credential.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::ACCEPT};
use serde_json::{Map, Value};
use url::Url;

use crate::{
    app::App,
    component::Component,
    encode,
    error::Error,
    headers,
    operation::{Body, Constant, Encoding, Operation, Parameter, Place, Style},
    reference::join,
    security::KeyPlace,
    server::is_base,
};

/// A request to an outside app, still without its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideRequest {
    /// The method.
    pub method: Method,
    /// Below the base URL.
    pub url: Url,
    /// Never `Authorization`, `Host`, `Cookie`, one that frames the message or one that a
    /// credential of the app travels in.
    pub headers: HeaderMap,
    /// Media type and bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Component {
    /// The request that runs this action of `app` at `base` with `inputs`.
    ///
    /// Call [`Component::validate`] first: this refuses only what no request can carry.
    ///
    /// # Errors
    /// [`Error::Input`] points at the input; [`Error::Trigger`] if this is no action.
    pub fn request(&self, app: &App, base: &Url, inputs: &Value) -> Result<OutsideRequest, Error> {
        let operation = self.operation().ok_or(Error::Trigger)?;
        let whole = fault("", "must be an object");
        let inputs = inputs.as_object().ok_or(whole)?;
        for name in inputs.keys() {
            if operation.parameters.iter().all(|known| known.input != *name) {
                return Err(fault(name, "is not an input"));
            }
        }
        let request = Assembly { app, operation, inputs };
        Ok(OutsideRequest {
            method: operation.method.clone(),
            url: request.url(base)?,
            headers: request.headers()?,
            body: request.body()?,
        })
    }
}

fn fault(input: &str, problem: &'static str) -> Error {
    let pointer = if input.is_empty() { String::new() } else { join("", input) };
    Error::Input { pointer, problem }
}

struct Assembly<'a> {
    app: &'a App,
    operation: &'a Operation,
    inputs: &'a Map<String, Value>,
}

impl<'a> Assembly<'a> {
    /// The inputs for one place that were given.
    fn given(&self, place: Place) -> impl Iterator<Item = (&'a Parameter, &'a Value)> {
        let inputs = self.inputs;
        self.operation
            .parameters
            .iter()
            .filter(move |parameter| parameter.place == place)
            .filter_map(|parameter| Some((parameter, inputs.get(&parameter.input)?)))
    }

    fn constants(&self, place: Place) -> impl Iterator<Item = &'a Constant> {
        self.operation.constants.iter().filter(move |constant| constant.place == place)
    }

    /// The constants of a place that is written as text.
    fn texts(&self, place: Place) -> Result<Vec<(&'a str, String)>, Error> {
        let text = |constant: &'a Constant| {
            let text = encode::scalar(&constant.value).map_err(|why| fault("", why))?;
            Ok((constant.name.as_str(), text))
        };
        self.constants(place).map(text).collect()
    }

    /// The constants of a place that holds `name=value` pairs.
    fn pairs(&self, place: Place) -> Result<Vec<String>, Error> {
        let pair = |(name, value): (&str, String)| {
            format!("{}={}", encode::escape(name), encode::escape(&value))
        };
        Ok(self.texts(place)?.into_iter().map(pair).collect())
    }

    fn injected(&self, place: KeyPlace, name: &str) -> bool {
        self.app.security.iter().any(|scheme| scheme.injects(place, name))
    }

    fn url(&self, base: &Url) -> Result<Url, Error> {
        if !is_base(base) {
            return Err(Error::NoServer);
        }
        let mut path = self.operation.path.clone();
        for parameter in &self.operation.parameters {
            if parameter.place == Place::Path {
                let value = self
                    .inputs
                    .get(&parameter.input)
                    .ok_or_else(|| fault(&parameter.input, "is required"))?;
                let text = encode::path(value).map_err(|why| fault(&parameter.input, why))?;
                // What was filled in has no braces left, so that no value fills another.
                path = path.replace(&format!("{{{}}}", parameter.name), &text);
            }
        }
        let path = format!("{}{path}", base.path().trim_end_matches('/'));
        let mut url = base.clone();
        url.set_path(&path);
        // The parser resolves dot segments and escapes; it must have found nothing to do.
        let same = url.path() == path
            && (url.scheme(), url.host_str(), url.port())
                == (base.scheme(), base.host_str(), base.port());
        if !same {
            return Err(fault("", "the path inputs together leave the app's path"));
        }
        let query = self.query()?;
        if !query.is_empty() {
            url.set_query(Some(&query));
        }
        Ok(url)
    }

    fn query(&self) -> Result<String, Error> {
        let mut pairs = self.pairs(Place::Query)?;
        for (parameter, value) in self.given(Place::Query) {
            let taken = |name: &str| self.injected(KeyPlace::Query, name) || self.names_query(name);
            if self.injected(KeyPlace::Query, &parameter.name) {
                return Err(fault(&parameter.input, "is set by the connection"));
            }
            encode::pairs(parameter, value, taken, &mut pairs)
                .map_err(|why| fault(&parameter.input, why))?;
        }
        Ok(pairs.join("&"))
    }

    fn names_query(&self, name: &str) -> bool {
        let parameters = self.operation.parameters.iter();
        let constants = self.operation.constants.iter();
        parameters
            .map(|known| (known.place, &known.name))
            .chain(constants.map(|known| (known.place, &known.name)))
            .any(|(place, known)| place == Place::Query && known == name)
    }

    fn headers(&self) -> Result<HeaderMap, Error> {
        let mut out = HeaderMap::new();
        if let Ok(accept) = HeaderValue::from_str(&self.operation.accept) {
            out.insert(ACCEPT, accept);
        }
        for (name, value) in self.texts(Place::Header)? {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| fault("", "a constant of the document is no header value"))?;
            out.insert(self.open(name, "")?, value);
        }
        for (parameter, value) in self.given(Place::Header) {
            if value.is_null() {
                continue;
            }
            let problem = |why| fault(&parameter.input, why);
            let text = encode::header(value, parameter.explode).map_err(problem)?;
            let printable = |text: &String| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            let value = Some(&text)
                .filter(|text| printable(text))
                .and_then(|text| HeaderValue::from_str(text).ok())
                .ok_or_else(|| problem("must be printable ASCII in one line"))?;
            out.insert(self.open(&parameter.name, &parameter.input)?, value);
        }
        Ok(out)
    }

    fn open(&self, name: &str, input: &str) -> Result<HeaderName, Error> {
        headers::open(name)
            .filter(|_| !self.injected(KeyPlace::Header, name))
            .ok_or_else(|| fault(input, "this header is not for inputs"))
    }

    fn body(&self) -> Result<Option<(&'static str, Vec<u8>)>, Error> {
        let Some(body) = self.operation.body else { return Ok(None) };
        let given: Vec<_> = self.given(Place::Body).collect();
        if given.is_empty() && !body.required {
            return Ok(None);
        }
        match body {
            Body { whole: true, encoding, .. } => {
                let Some((parameter, value)) = given.first() else {
                    return Err(fault("body", "is required"));
                };
                match (encoding, value) {
                    (Encoding::Json, value) => Ok(Some(json(value))),
                    (Encoding::Form, Value::Object(members)) => {
                        let fields =
                            members.iter().map(|(name, value)| (field(parameter, name), value));
                        form(Vec::new(), fields)
                    }
                    (Encoding::Form, _) => Err(fault(&parameter.input, "must be an object")),
                }
            }
            Body { encoding: Encoding::Json, .. } => {
                let constants =
                    self.constants(Place::Body).map(|constant| (&constant.name, &constant.value));
                let given = given.into_iter().map(|(parameter, value)| (&parameter.name, value));
                let members: Map<String, Value> = constants
                    .chain(given)
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                Ok(Some(json(&Value::Object(members))))
            }
            Body { encoding: Encoding::Form, .. } => {
                let given = given.into_iter().map(|(parameter, value)| (parameter.clone(), value));
                form(self.pairs(Place::Body)?, given)
            }
        }
    }
}

/// A property of a form that is one input as a whole.
fn field(whole: &Parameter, name: &str) -> Parameter {
    Parameter { name: name.to_owned(), style: Style::Form, ..whole.clone() }
}

fn json(value: &Value) -> (&'static str, Vec<u8>) {
    ("application/json", value.to_string().into_bytes())
}

/// The pairs that are always the same, and those of the inputs.
fn form<'a>(
    mut pairs: Vec<String>,
    fields: impl Iterator<Item = (Parameter, &'a Value)>,
) -> Result<Option<(&'static str, Vec<u8>)>, Error> {
    for (parameter, value) in fields {
        encode::pairs(&parameter, value, |_| false, &mut pairs)
            .map_err(|why| fault(&parameter.input, why))?;
    }
    Ok(Some(("application/x-www-form-urlencoded", pairs.join("&").into_bytes())))
}
