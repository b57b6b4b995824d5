//! Parameters that a browser brings, in a query or a form.

use url::form_urlencoded;

use super::notice::{self, Notice};

/// The values of these parameters, each with the most bytes that it may have; empty if it is not
/// there. Others are skipped: providers and mail programs add their own.
///
/// # Errors
/// One is there twice, and nobody could say which is meant, or is too long.
pub(super) fn read<const N: usize>(
    text: Option<&str>,
    known: [(&str, usize); N],
) -> Result<[String; N], Notice> {
    let mut values = [const { None::<String> }; N];
    for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
        let Some(at) = known.iter().position(|(known, _)| *known == name) else { continue };
        if values[at].is_some() || value.len() > known[at].1 {
            return Err(notice::unreadable());
        }
        values[at] = Some(value.into_owned());
    }
    Ok(values.map(Option::unwrap_or_default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read_once_and_the_rest_is_skipped() {
        let of = |text| read(Some(text), [("code", 3), ("state", 3)]).ok();
        let some = |code: &str, state: &str| Some([code.to_owned(), state.to_owned()]);
        assert_eq!(of(""), some("", ""));
        assert_eq!(of("state=s&scope=a&code=%2Bc&scope=b&Code=x"), some("+c", "s"));
        assert_eq!(of("code=abcd"), None);
        assert_eq!(of("code=a&code=a"), None);
        assert_eq!(of("code=&code=a"), None);
        assert_eq!(of("c%6Fde=a&code=a"), None);
        assert_eq!(read(None, [("code", 3)]).ok(), Some([String::new()]));
    }
}
