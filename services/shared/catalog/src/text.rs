//! What a document says in words, cut to what pages and tables can show.

/// Characters of a name.
pub(crate) const NAME: usize = 100;

/// Characters of a description.
pub(crate) const DESCRIPTION: usize = 2_000;

/// A name in one line: white space and control characters become single spaces.
pub(crate) fn name(text: &str) -> String {
    // A little more than is kept, so that a text of megabytes costs no more than a name.
    let head: String = text.chars().take(4 * NAME).collect();
    let words: Vec<&str> = head
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(NAME).collect()
}

/// A description: lines stay, other control characters go.
pub(crate) fn description(text: &str) -> String {
    text.trim().chars().filter(|c| *c == '\n' || !c.is_control()).take(DESCRIPTION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_cleaned() {
        assert_eq!(name(" Send\n an\t\0email "), "Send an email");
        assert_eq!(name(&"x ".repeat(1_000_000)).len(), NAME);
        assert_eq!(description("  a\nb\u{1b}[31mc  "), "a\nb[31mc");
        assert_eq!(description(&"x".repeat(DESCRIPTION + 1)).len(), DESCRIPTION);
    }
}
