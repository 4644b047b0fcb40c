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
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
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

/// RFC 8259: quotes, backslash, and control characters below U+0020; DEL too, which no terminal should see.
const fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_string_reads_back_as_itself(text in any::<String>()) {
            let mut out = Vec::new();
            prop_assert!(!string(&text, &mut out));
            prop_assert_eq!(serde_json::from_slice::<String>(&out)?, text.clone());
            let mut formatted_out = Vec::new();
            formatted(format_args!("{}{}", text, 1), &mut formatted_out);
            prop_assert_eq!(serde_json::from_slice::<String>(&formatted_out)?, format!("{text}1"));
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
