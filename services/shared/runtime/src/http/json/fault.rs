//! What serde says about a member, told with its JSON pointer and without its value.

use serde_path_to_error::{Error, Path, Segment};

use crate::{problem::Fault, serde_words::without_value};

pub(super) fn of(error: &Error<serde_json::Error>) -> Fault {
    let message = error.inner().to_string();
    let mut pointer = pointer(error.path());
    // serde names the absent or unknown member in its message only; people need the place.
    for (says, detail) in [("missing field `", "is required"), ("unknown field `", "is unknown")] {
        let Some(name) = message.strip_prefix(says).and_then(|rest| rest.split('`').next()) else {
            continue;
        };
        let member = format!("/{}", escaped(name));
        if !pointer.ends_with(&member) {
            pointer.push_str(&member);
        }
        return Fault { pointer: shortened(&pointer), detail: detail.to_owned() };
    }
    Fault {
        pointer: shortened(&pointer),
        detail: shortened(&without_value(&message, "JSON object")),
    }
}

fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escaped(key)),
        Segment::Enum { variant } => format!("{pointer}/{}", escaped(variant)),
        Segment::Unknown => pointer,
    })
}

/// RFC 6901 §3.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A pointer quotes the client's own member names, which can be as long as the body.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(256) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Body {
        #[expect(dead_code, reason = "read by serde only")]
        app_key: String,
        #[serde(default)]
        #[expect(dead_code, reason = "read by serde only")]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[expect(dead_code, reason = "read by serde only")]
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Small,
        Large,
    }

    fn fault(document: Value) -> (String, String) {
        let error = serde_path_to_error::deserialize::<_, Body>(document).expect_err("is wrong");
        let fault = of(&error);
        (fault.pointer, fault.detail)
    }

    #[test]
    fn each_fault_has_its_place() {
        let cases = [
            (json!({}), "/appKey", "is required"),
            (json!({"appKey": "a", "x/y~": 1}), "/x~1y~0", "is unknown"),
            (json!({"appKey": "a", "items": [{}]}), "/items/0/kind", "is required"),
            (
                json!({"appKey": "a", "items": [{"kind": "small", "extra": 1}]}),
                "/items/0/extra",
                "is unknown",
            ),
            (
                json!({"appKey": "a", "items": [{"kind": "huge"}]}),
                "/items/0/kind",
                "must be `small` or `large`",
            ),
            (json!({"appKey": 7}), "/appKey", "must be a string"),
            (json!({"appKey": "a", "items": 1}), "/items", "must be a list"),
            (json!([]), "", "must be a JSON object"),
        ];
        for (document, pointer, detail) in cases {
            assert_eq!(fault(document), (pointer.to_owned(), detail.to_owned()));
        }
    }

    #[test]
    fn the_value_is_not_repeated() {
        let (_, detail) = fault(json!({"appKey": "a", "items": "hunter2, expected x"}));
        assert!(!detail.contains("hunter2"), "{detail}");
        let (_, detail) = fault(json!({"appKey": "a", "items": [{"kind": "hunter2"}]}));
        assert!(!detail.contains("hunter2"), "{detail}");
    }
}
