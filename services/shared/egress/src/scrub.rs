//! Keeps an injected credential out of an answer that echoes it.
//!
//! Looks for each secret as it is and as the encodings that apps echo: base64 (standard and
//! URL-safe, wherever in the encoded text it begins), hexadecimal, percent-encoding, JSON and HTML escapes.
//! An app that means to leak a credential can always find another transformation; this is for
//! those that echo headers, URLs and errors.

use std::cmp::Reverse;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

/// What stands in the place of a secret.
pub(crate) const MARK: &[u8] = b"[redacted]";

/// Shorter texts than this are not looked for: they occur by chance everywhere.
pub(crate) const SHORTEST: usize = 4;

type Pattern = Zeroizing<Vec<u8>>;

/// Everything to look for, by first byte, the longest first.
pub(crate) struct Patterns {
    by_first: Vec<Vec<Pattern>>,
    longest: usize,
}

impl Patterns {
    /// The patterns of these secrets; `None` if there is nothing to look for.
    pub(crate) fn new(secrets: &[Pattern]) -> Option<Self> {
        let secrets = secrets.iter().filter(|secret| secret.len() >= SHORTEST);
        let all: Vec<_> = secrets.flat_map(|secret| encodings(secret)).collect();
        let longest = all.iter().map(|pattern| pattern.len()).max()?;
        let mut by_first = vec![Vec::new(); 256];
        for pattern in all {
            by_first[usize::from(pattern[0])].push(pattern);
        }
        for group in &mut by_first {
            group.sort_by(|a: &Pattern, b| (Reverse(a.len()), &**a).cmp(&(Reverse(b.len()), &**b)));
            group.dedup();
        }
        Some(Self { by_first, longest })
    }

    /// The length of the longest pattern that `text` begins with.
    fn at_start(&self, text: &[u8]) -> Option<usize> {
        let group = &self.by_first[usize::from(*text.first()?)];
        group.iter().find(|pattern| text.starts_with(pattern)).map(|pattern| pattern.len())
    }

    /// Appends `text` to `out` without the secrets that begin before `until`; the position after
    /// what was consumed.
    fn replace(&self, text: &[u8], until: usize, out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        let mut kept = 0;
        while at < until {
            if let Some(length) = self.at_start(&text[at..]) {
                out.extend_from_slice(&text[kept..at]);
                out.extend_from_slice(MARK);
                at += length;
                kept = at;
            } else {
                at += 1;
            }
        }
        out.extend_from_slice(&text[kept..at]);
        at
    }

    /// Scrubs header values, and drops headers whose name holds a secret.
    pub(crate) fn scrub_headers(&self, headers: &mut HeaderMap) {
        let telling: Vec<_> = headers.keys().filter(|name| self.is_told(name)).cloned().collect();
        for name in telling {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            let mut clean = Vec::with_capacity(value.len());
            self.replace(value.as_bytes(), value.len(), &mut clean);
            if clean != value.as_bytes() {
                // A part of a valid value is valid, and so is the mark.
                *value = HeaderValue::from_bytes(&clean)
                    .unwrap_or(HeaderValue::from_static("[redacted]"));
            }
        }
    }

    /// Header names arrive in lowercase.
    fn is_told(&self, name: &http::HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        let mut patterns = self.by_first.iter().flatten();
        patterns.any(|pattern| {
            name.windows(pattern.len()).any(|part| part.eq_ignore_ascii_case(pattern))
        })
    }
}

/// Scrubs a body that comes in pieces. The result does not depend on where it is cut.
pub(crate) struct Scrubber {
    patterns: Patterns,
    /// What may be the beginning of a secret: shorter than the longest pattern.
    held: Zeroizing<Vec<u8>>,
}

impl Scrubber {
    pub(crate) fn new(patterns: Patterns) -> Self {
        Self { patterns, held: Zeroizing::default() }
    }

    /// Takes a piece and gives what is certain by now; may be empty.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        // A position is certain once the longest pattern would fit behind it.
        let until = (self.held.len() + 1).saturating_sub(self.patterns.longest);
        self.take(until)
    }

    /// Gives the rest: no more pieces come.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.take(self.held.len())
    }

    fn take(&mut self, until: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(until);
        let consumed = self.patterns.replace(&self.held, until, &mut out);
        self.held.drain(..consumed);
        out
    }
}

fn encodings(secret: &[u8]) -> Vec<Pattern> {
    let mut all = vec![Zeroizing::new(secret.to_vec()), html(secret)];
    // As JavaScript and Rust, Go, Python, and PHP write JSON.
    all.push(json(secret, false, |_| false));
    all.push(json(secret, false, |char| matches!(char, '<' | '>' | '&')));
    all.push(json(secret, false, |char| !char.is_ascii()));
    all.push(json(secret, true, |char| !char.is_ascii()));
    for lower in [true, false] {
        all.push(hex(secret, lower));
        // As a path or query component, as a form, everything but letters and digits, everything.
        all.push(percent(secret, b"-._~", true, lower));
        all.push(percent(secret, b"-._~!'()*", true, lower));
        all.push(percent(secret, b"*-._+", true, lower));
        all.push(percent(secret, b"", true, lower));
        all.push(percent(secret, b"", false, lower));
    }
    for engine in [&STANDARD, &URL_SAFE] {
        let whole = Zeroizing::new(engine.encode(secret));
        all.push(Zeroizing::new(whole.trim_end_matches('=').as_bytes().to_vec()));
        all.push(Zeroizing::new(whole.as_bytes().to_vec()));
        for before in 0..3 {
            all.push(base64_inside(secret, before, engine));
        }
    }
    all.retain(|pattern| pattern.len() >= SHORTEST);
    all
}

/// The characters of base64 that depend on nothing but the secret, when `before` bytes (modulo 3)
/// stand before it and anything stands after it.
fn base64_inside(secret: &[u8], before: usize, engine: &impl Engine) -> Pattern {
    let mut padded = Zeroizing::new(vec![0; before]);
    padded.extend_from_slice(secret);
    let encoded = Zeroizing::new(engine.encode(&*padded));
    let first = (before * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    Zeroizing::new(encoded.as_bytes()[first..last].to_vec())
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn digits(byte: u8, lower: bool) -> [u8; 2] {
    let digits = if lower { LOWER } else { UPPER };
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

fn hex(secret: &[u8], lower: bool) -> Pattern {
    Zeroizing::new(secret.iter().flat_map(|byte| digits(*byte, lower)).collect())
}

/// Percent-encoding that leaves `marks` and perhaps letters and digits as they are. `+` among the
/// marks stands for the space, as forms write it.
fn percent(secret: &[u8], marks: &[u8], alphanumeric: bool, lower: bool) -> Pattern {
    let form = marks.contains(&b'+');
    let mut out = Zeroizing::new(Vec::with_capacity(secret.len() * 3));
    for byte in secret {
        if form && *byte == b' ' {
            out.push(b'+');
        } else if (alphanumeric && byte.is_ascii_alphanumeric())
            || (*byte != b'+' && marks.contains(byte))
        {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend_from_slice(&digits(*byte, lower));
        }
    }
    out
}

/// As a JSON string holds it (RFC 8259, §7), with these characters as `\u` escapes, too.
fn json(secret: &[u8], slash: bool, escaped: fn(char) -> bool) -> Pattern {
    let mut out = Zeroizing::new(Vec::with_capacity(secret.len() * 6));
    for char in String::from_utf8_lossy(secret).chars() {
        if matches!(char, '"' | '\\') || (slash && char == '/') {
            out.extend_from_slice(&[b'\\', char as u8]);
        } else if char.is_control() || escaped(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for byte in unit.to_be_bytes() {
                    out.extend_from_slice(&digits(byte, true));
                }
            }
        } else {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out
}

/// As an error page holds it.
fn html(secret: &[u8]) -> Pattern {
    let mut out = Zeroizing::new(Vec::with_capacity(secret.len() * 6));
    for byte in secret {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(secret: &[u8]) -> Patterns {
        Patterns::new(&[Zeroizing::new(secret.to_vec())]).expect("long enough")
    }

    fn scrub(secret: &[u8], text: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut scrubber = Scrubber::new(patterns(secret));
        let mut out = Vec::new();
        let mut rest = text;
        for cut in cuts {
            let (piece, after) = rest.split_at(cut % (rest.len() + 1));
            out.extend(scrubber.push(piece));
            rest = after;
        }
        out.extend(scrubber.push(rest));
        out.extend(scrubber.finish());
        out
    }

    fn holds(text: &[u8], part: &[u8]) -> bool {
        text.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn the_text_around_a_secret_stays() {
        let clean = scrub(b"swordfish", b"a=swordfish&b=73776F726466697368!", &[3, 4]);
        assert_eq!(clean, b"a=[redacted]&b=[redacted]!");
    }

    #[test]
    fn at_most_one_pattern_is_held_back() {
        let mut scrubber = Scrubber::new(patterns(b"swordfish"));
        let longest = scrubber.patterns.longest;
        let out = scrubber.push(&vec![b's'; 10_000]);
        assert_eq!(out.len(), 10_000 - (longest - 1));
    }

    #[test]
    fn a_short_text_is_not_looked_for() {
        assert!(Patterns::new(&[Zeroizing::new(b"abc".to_vec())]).is_none());
        assert!(Patterns::new(&[Zeroizing::new(b"abcd".to_vec())]).is_some());
    }

    #[test]
    fn headers_are_scrubbed_in_value_and_name() {
        let mut headers: HeaderMap =
            [("x-echo", "Bearer SwordFish-7"), ("x-swordfish-7", "1"), ("x-kept", "2")]
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect();
        patterns(b"SwordFish-7").scrub_headers(&mut headers);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-echo"], "Bearer [redacted]");
    }

    proptest! {
        #[test]
        fn where_a_body_is_cut_changes_nothing(
            secret in "[ -Z^-~]{4,24}",
            before in prop::collection::vec(any::<u8>(), 0..60),
            after in prop::collection::vec(any::<u8>(), 0..60),
            which: prop::sample::Index,
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let secret = secret.as_bytes();
            let all = encodings(secret);
            let text = [&before[..], &**which.get::<Pattern>(&all), &after].concat();
            let whole = scrub(secret, &text, &[]);
            prop_assert_eq!(&scrub(secret, &text, &cuts), &whole);
            // The mark itself could hold a short secret such as `redact`.
            if !holds(MARK, secret) {
                prop_assert!(!holds(&whole, secret));
            }
        }

        #[test]
        fn base64_is_found_wherever_it_begins(
            secret in "[ -~]{4,24}",
            before in prop::collection::vec(any::<u8>(), 0..9),
            after in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let text = [&before[..], secret.as_bytes(), &after].concat();
            for engine in [&STANDARD, &URL_SAFE] {
                let clean = scrub(secret.as_bytes(), engine.encode(&text).as_bytes(), &[]);
                prop_assert!(holds(&clean, MARK));
            }
        }
    }
}
