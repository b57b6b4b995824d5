//! What serde says of a value, without the value.

/// `invalid type: string "hunter2", expected u32` as `must be u32`. `group` is what the format
/// calls a struct.
pub(crate) fn without_value(message: &str, group: &str) -> String {
    let quotes = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    if !quotes.iter().any(|quote| message.starts_with(quote)) {
        return message.to_owned();
    }
    // The last one: the value stands before it and may contain anything.
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if expected.starts_with("struct ") => format!("must be a {group}"),
        Some((_, "a map")) => format!("must be a {group}"),
        Some((_, "a sequence")) => "must be a list".to_owned(),
        Some((_, expected)) => format!("must be {expected}"),
        None => "has another form".to_owned(),
    }
}
