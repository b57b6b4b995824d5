//! What serde says of a value, without the value.

/// `invalid type: string "hunter2", expected a string` as `must be a string`. `group` is what the format
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
        Some((_, "map with a single key")) => "must be an object with one member".to_owned(),
        Some((_, "u16")) => "must be a whole number from 0 to 65535".to_owned(),
        Some((_, "u32")) => "must be a whole number from 0 to 4294967295".to_owned(),
        Some((_, "u64" | "usize")) => "must be a whole number, 0 or more".to_owned(),
        Some((_, "socket address")) => "must be an address such as 127.0.0.1:8080".to_owned(),
        Some((_, expected)) if expected.starts_with("an RFC3339") => {
            "must be a time such as 2030-01-31T12:00:00Z".to_owned()
        }
        Some((_, expected)) => format!("must be {expected}"),
        None => "has another form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_told_in_words_of_people() {
        for (expected, told) in [
            ("u32", "must be a whole number from 0 to 4294967295"),
            ("usize", "must be a whole number, 0 or more"),
            ("map with a single key", "must be an object with one member"),
            ("socket address", "must be an address such as 127.0.0.1:8080"),
            (
                "an RFC3339-formatted `OffsetDateTime`",
                "must be a time such as 2030-01-31T12:00:00Z",
            ),
            ("a boolean", "must be a boolean"),
        ] {
            let message = format!("invalid type: string \"hunter2\", expected {expected}");
            assert_eq!(without_value(&message, "section"), told);
        }
    }
}
