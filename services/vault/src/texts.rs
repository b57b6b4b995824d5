//! The encoding of what is sealed. Not JSON: its reader copies texts into buffers that nobody wipes.
//!
//! ```text
//! format (1) ‖ kind (1) ‖ text*        text = length (4, big-endian) ‖ UTF-8
//! ```

use zeroize::Zeroizing;

/// The first byte of every encoding.
const FORMAT: u8 = 1;

/// The bytes are not of this format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The bytes to seal.
pub(crate) fn encode(kind: u8, texts: &[&str]) -> Zeroizing<Vec<u8>> {
    // Exact, so that growing leaves no copy behind.
    let length = 2 + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    out.extend_from_slice(&[FORMAT, kind]);
    for text in texts {
        // Every part is bounded far below 2^32 bytes.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The texts of an encoding, one after another.
pub(crate) struct Texts<'b>(&'b [u8]);

impl<'b> Texts<'b> {
    /// The kind, and the texts that follow it.
    pub(crate) fn read(bytes: &'b [u8]) -> Result<(u8, Self), Malformed> {
        match bytes {
            [FORMAT, kind, rest @ ..] => Ok((*kind, Self(rest))),
            _ => Err(Malformed),
        }
    }

    /// The next text.
    pub(crate) fn take(&mut self) -> Result<&'b str, Malformed> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Malformed)?;
        let (text, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Malformed)
    }

    /// Is there nothing left?
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
