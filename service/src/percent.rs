//! Percent-encoding as RFC 3986 has it, read strictly.

/// The text that is encoded, or `None` where a percent sign encodes no byte or the bytes are not UTF-8.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => (digit(*high)? << 4 | digit(*low)?, tail),
            (b'%', _) => return None,
            _ => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_encodes_no_byte_or_no_text_is_refused() {
        assert_eq!(decoded("x%20y%C3%A4").as_deref(), Some("x yä"));
        for text in ["%", "%2", "%zz", "%+1", "a%2", "%ff", "%c3"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_byte_by_byte_comes_back(text in any::<String>()) {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decoded(&encoded), Some(text));
        }
    }
}
