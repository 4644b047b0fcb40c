//! JSON text by hand: strings escaped into a byte buffer, without an intermediate value.

use std::fmt::{self, Write};

/// The most bytes of one field's value, before escaping. 32 fields of 16 KiB stay under the 1 MiB that CloudWatch
/// takes for an event, and nobody reads more.
pub(super) const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Appends `text` in quotes. Returns whether it was cut at [`VALUE_BYTES_MAX`].
pub(super) fn string(text: &str, out: &mut Vec<u8>) -> bool {
    let mut escaper = Escaper::open(out);
    // This writer never fails.
    let _ = escaper.write_str(text);
    escaper.close()
}

/// Appends `text` in quotes, however long it is.
pub(super) fn whole(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text.as_bytes(), out);
    out.push(b'"');
}

/// Appends formatted text in quotes. Returns whether it was cut.
pub(super) fn formatted(text: fmt::Arguments<'_>, out: &mut Vec<u8>) -> bool {
    if let Some(text) = text.as_str() {
        return string(text, out);
    }
    let mut escaper = Escaper::open(out);
    // An error is one of the value's own formatting: what it wrote so far is kept.
    let _ = escaper.write_fmt(text);
    escaper.close()
}

/// Escapes what is written to it.
struct Escaper<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
    cut: bool,
}

impl<'a> Escaper<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'"');
        Self { out, left: VALUE_BYTES_MAX, cut: false }
    }

    fn close(self) -> bool {
        self.out.push(b'"');
        self.cut
    }
}

impl Write for Escaper<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let kept = &text[..text.floor_char_boundary(self.left)];
        self.cut = kept.len() < text.len();
        self.left -= kept.len();
        escape(kept.as_bytes(), self.out);
        Ok(())
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = first_to_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                crate::hex::append(&[control], out);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Where the first byte is that [`needs_escape`]. Nearly no text has one, so eight bytes are looked at together.
fn first_to_escape(text: &[u8]) -> Option<usize> {
    let is_dirty = |word: &[u8; 8]| any_needs_escape(u64::from_le_bytes(*word));
    let (words, _) = text.as_chunks::<8>();
    let clean = words.iter().position(is_dirty).unwrap_or(words.len());
    // What is behind the last whole word, and some of that word once more.
    if clean == words.len() && text.last_chunk().is_some_and(|last| !is_dirty(last)) {
        return None;
    }
    text[clean * 8..].iter().position(|byte| needs_escape(*byte)).map(|at| clean * 8 + at)
}

/// Whether one of the eight bytes [`needs_escape`]. Subtracting 1 from a byte, or 0x20, borrows from the one above only if there is
/// a hit in the lower, so the answer is exact though the place would not be.
const fn any_needs_escape(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const fn has_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = has_zero(word ^ (ONES * b'"' as u64));
    let backslash = has_zero(word ^ (ONES * b'\\' as u64));
    let delete = has_zero(word ^ (ONES * 0x7f));
    (control | quote | backslash | delete) & (ONES * 0x80) != 0
}

/// RFC 8259: quotes, backslash, and control characters below U+0020; DEL too, which no terminal should see.
const fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Control characters among them, which `any::<String>()` leaves out.
    fn texts() -> impl Strategy<Value = String> {
        let characters = prop_oneof![any::<char>(), prop::char::range('\0', '\u{80}')];
        prop::collection::vec(characters, 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn any_string_reads_back_as_itself(text in texts()) {
            let mut out = Vec::new();
            prop_assert!(!string(&text, &mut out));
            prop_assert_eq!(serde_json::from_slice::<String>(&out)?, text.clone());
            prop_assert!(!out.iter().any(|byte| *byte < b' ' || *byte == 0x7f));
            let mut whole_out = Vec::new();
            whole(&text, &mut whole_out);
            prop_assert_eq!(&whole_out, &out);
            let mut formatted_out = Vec::new();
            formatted(format_args!("{}{}", text, 1), &mut formatted_out);
            prop_assert_eq!(serde_json::from_slice::<String>(&formatted_out)?, format!("{text}1"));
        }

        #[test]
        fn of_eight_bytes_one_needs_an_escape_exactly_if_one_of_them_does(
            word: [u8; 8],
            ascii in prop::array::uniform8(0x1e..=0x80_u8),
        ) {
            for word in [word, ascii] {
                let expected = word.iter().any(|byte| needs_escape(*byte));
                prop_assert_eq!(any_needs_escape(u64::from_le_bytes(word)), expected);
            }
        }

        #[test]
        fn a_long_value_is_cut_at_a_character(character in any::<char>(), extra in 0..8_usize) {
            let text = String::from(character).repeat(VALUE_BYTES_MAX / character.len_utf8() + extra);
            let mut out = Vec::new();
            let cut = string(&text, &mut out);
            let read = serde_json::from_slice::<String>(&out)?;
            prop_assert_eq!(cut, text.len() > VALUE_BYTES_MAX);
            prop_assert!(read.len() <= VALUE_BYTES_MAX && text.starts_with(&read));
        }
    }

    #[test]
    fn a_cut_value_stays_cut() {
        let mut out = Vec::new();
        let text = "a".repeat(VALUE_BYTES_MAX - 1);
        assert!(formatted(format_args!("{text}{}{}", 'ä', 'b'), &mut out));
        assert_eq!(serde_json::from_slice::<String>(&out).ok(), Some(text));
    }
}
