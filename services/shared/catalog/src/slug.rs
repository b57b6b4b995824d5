//! The name of a component from the name of an operation.

/// `sendEmail`, `send_email`, `send.email` and `send/email` all become `send-email`;
/// `getHTTPStatus` becomes `get-http-status`. Characters outside ASCII letters and digits only
/// separate, so the outcome may be empty.
pub(crate) fn slug(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 8);
    for (place, &letter) in letters.iter().enumerate() {
        if !letter.is_ascii_alphanumeric() {
            if !out.is_empty() && !out.ends_with('-') {
                out.push('-');
            }
            continue;
        }
        let before = place.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(place + 1);
        let starts_word = letter.is_ascii_uppercase()
            && match before {
                Some(before) if before.is_ascii_uppercase() => {
                    after.is_some_and(char::is_ascii_lowercase)
                }
                Some(before) => before.is_ascii_alphanumeric(),
                None => false,
            };
        if starts_word && !out.ends_with('-') {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out.trim_end_matches('-').to_owned()
}

/// Words for a person, when the document gives no summary: `send-email` reads `Send email`.
pub(crate) fn title(slug: &str) -> String {
    let words = slug.replace('-', " ");
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_ids_of_every_style_become_kebab_case() {
        for (name, expected) in [
            ("sendEmail", "send-email"),
            ("SendEmail", "send-email"),
            ("send_email", "send-email"),
            ("chat.postMessage", "chat-post-message"),
            ("issues/create", "issues-create"),
            ("issues/create-comment", "issues-create-comment"),
            ("getHTTPStatus", "get-http-status"),
            ("getV2User", "get-v2-user"),
            ("v2Users", "v2-users"),
            ("__a  b__", "a-b"),
            ("ALL", "all"),
            ("größe", "gr-e"),
            ("日本", ""),
        ] {
            assert_eq!(slug(name), expected, "{name}");
        }
        assert_eq!(title("send-email"), "Send email");
    }
}
