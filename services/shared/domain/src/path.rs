//! Paths of URLs, as the least careful of servers reads them.

/// How often something is decoded. Nobody who means well encodes as often.
const MOST_DECODED: usize = 8;

/// Would `text` move through a path, for any server that reads it, however often that decodes it?
///
/// True if a segment is `.` or `..` behind `/` or `\`, also with path parameters (`..;a`, which
/// servlet containers drop), with spaces or NUL behind it, or in UTF-8 that is longer than it may
/// be (RFC 3629, §10).
#[must_use]
pub fn climbs(text: &str) -> bool {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..MOST_DECODED {
        if bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots) {
            return true;
        }
        let decoded = decode(&bytes);
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
    true
}

fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    let end = name.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    matches!(&name[..end], b"." | b"..")
}

/// One round of percent-decoding, and of what some decoders make of overlong UTF-8.
fn decode(bytes: &[u8]) -> Vec<u8> {
    const OVERLONG: [(&[u8], u8); 7] = [
        (b"\xc0\xae", b'.'),
        (b"\xe0\x80\xae", b'.'),
        (b"\xf0\x80\x80\xae", b'.'),
        (b"\xc0\xaf", b'/'),
        (b"\xe0\x80\xaf", b'/'),
        (b"\xf0\x80\x80\xaf", b'/'),
        (b"\xc1\x9c", b'\\'),
    ];
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        if let Some((long, char)) = OVERLONG.iter().find(|(long, _)| rest.starts_with(long)) {
            out.push(*char);
            rest = &rest[long.len()..];
        } else if let (b'%', [high, low, behind @ ..]) = (first, behind)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_dots_climbs() {
        for text in [
            ".",
            "..",
            "/..",
            "../a",
            "a/../b",
            "a/..",
            "a/./b",
            "..\\a",
            "a\\..\\b",
            "..;",
            "..;/a",
            "..;a=b/c",
            ".;/a",
            "a/..;x",
            "%2e",
            "%2e%2e",
            "%2E.",
            "%252e%252e",
            "%25252e.",
            "..%2f",
            "a%2f..%2fb",
            "..%5ca",
            "a%5c..",
            "..%3b/a",
            "..%3Bx%2Fa",
            "%2e%2e%3b%2fa",
            "%252e%252e%253b%252fa",
            ".. /a",
            "..%20/a",
            "..%00/a",
            "..\0",
            "%c0%ae%c0%ae/a",
            "%C0%AE.",
            "..%c0%afa",
            "%e0%80%ae.",
            "%f0%80%80%ae.",
            "..%c1%9ca",
            "%25c0%25ae.",
        ] {
            assert!(climbs(text), "{text:?}");
        }
        let deep = format!("%{}61", "25".repeat(9));
        assert!(climbs(&deep), "what is encoded so often means no good");
    }

    #[test]
    fn what_only_looks_like_it_does_not() {
        for text in [
            "",
            "a",
            "...",
            "a..b",
            ".git",
            "..a",
            "a;..",
            "a;b=..",
            "1.0",
            "a%20b",
            "%",
            "%2",
            "%zz",
            "100%",
            "\u{2024}\u{2024}",
            "a%2Fb",
            "é",
            "a/b/c",
            ".. a",
        ] {
            assert!(!climbs(text), "{text:?}");
        }
    }
}
