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

/// Eight bytes are looked at and copied together, and taken back from the first that needs an escape: most texts have none, and a line
/// of JSON, which CloudWatch gets within JSON, one in ten.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        out.extend_from_slice(word);
        rest = match first_of_eight(u64::from_le_bytes(*word)) {
            None => behind,
            Some(clean) => {
                out.truncate(out.len() - 8 + clean);
                append_escaped(rest[clean], out);
                &rest[clean + 1..]
            }
        };
    }
    for byte in rest {
        if needs_escape(*byte) {
            append_escaped(*byte, out);
        } else {
            out.push(*byte);
        }
    }
}

fn append_escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
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
}

/// Which of eight bytes, the lowest of `word` first, is the first that [`needs_escape`]. Subtracting 1 from a byte, or 0x20, borrows
/// from the one above only if there is a hit in the lower: the lowest mark is never wrong, others may be.
const fn first_of_eight(word: u64) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    const fn has_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = has_zero(word ^ (ONES * b'"' as u64));
    let backslash = has_zero(word ^ (ONES * b'\\' as u64));
    let delete = has_zero(word ^ (ONES * 0x7f));
    match (control | quote | backslash | delete) & (ONES * 0x80) {
        0 => None,
        marks => Some(marks.trailing_zeros() as usize / 8),
    }
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
        fn the_first_of_eight_bytes_that_needs_an_escape_is_found(
            word: [u8; 8],
            ascii in prop::array::uniform8(0x1e..=0x80_u8),
        ) {
            for word in [word, ascii] {
                let expected = word.iter().position(|byte| needs_escape(*byte));
                prop_assert_eq!(first_of_eight(u64::from_le_bytes(word)), expected);
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
