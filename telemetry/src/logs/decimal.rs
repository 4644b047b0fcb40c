//! Numbers and addresses as text, without the general machinery of `fmt`: every line has a dozen of them.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

/// The digits of the largest `u64`.
const DIGITS_MAX: usize = 20;

/// Up to here a number of thousandths is exact, and few enough that its shortest decimal is the one with three places.
const THOUSANDTHS_MAX: f64 = 1e12;

/// Appends a whole number.
pub(super) fn unsigned(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends a whole number with its sign.
pub(super) fn signed(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    unsigned(number.unsigned_abs(), out);
}

/// Appends the shortest decimal that reads back as `number`, as `{:?}` has it, where that has up to three places: what durations
/// are. Returns whether it did.
pub(super) fn thousandths(number: f64, out: &mut Vec<u8>) -> bool {
    let scaled = (number * 1000.0).round();
    // Zero has a sign, and so have all that are less.
    if !number.is_sign_positive() || scaled > THOUSANDTHS_MAX || scaled / 1000.0 != number {
        return false;
    }
    let scaled = scaled as u64;
    unsigned(scaled / 1000, out);
    let rest = scaled % 1000;
    let places = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
    let kept = places.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&places[..kept]);
    true
}

/// An address as text.
pub(super) fn address(address: IpAddr) -> String {
    let mut text = String::with_capacity("255.255.255.255".len());
    match address {
        IpAddr::V4(address) => v4(address, &mut text),
        // Writing to a string cannot fail.
        IpAddr::V6(address) => drop(write!(text, "{address}")),
    }
    text
}

fn v4(address: Ipv4Addr, text: &mut String) {
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text.push(char::from(b'0' + digit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(append: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        append(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn numbers_and_addresses_are_written_as_fmt_writes_them(
            number: u64,
            signed_number: i64,
            of_v4: Ipv4Addr,
            of_any: IpAddr,
        ) {
            prop_assert_eq!(text(|out| unsigned(number, out)), number.to_string());
            prop_assert_eq!(text(|out| signed(signed_number, out)), signed_number.to_string());
            prop_assert_eq!(address(of_v4.into()), of_v4.to_string());
            prop_assert_eq!(address(of_any), of_any.to_string());
        }

        #[test]
        fn every_number_of_microseconds_is_written_as_fmt_writes_its_milliseconds(micros in 0..1_000_000_000_000_u64) {
            let number = micros as f64 / 1000.0;
            let mut out = Vec::new();
            prop_assert!(thousandths(number, &mut out));
            prop_assert_eq!(String::from_utf8(out)?, format!("{number:?}"));
        }

        #[test]
        fn of_any_other_number_nothing_or_the_same_is_written(number: f64) {
            let mut out = Vec::new();
            let expected = if thousandths(number, &mut out) { format!("{number:?}") } else { String::new() };
            prop_assert_eq!(String::from_utf8(out)?, expected);
        }
    }

    #[test]
    fn the_ends_of_each_range_are_written_as_fmt_writes_them() {
        for number in [0, 9, 10, 99, u64::MAX] {
            assert_eq!(text(|out| unsigned(number, out)), number.to_string());
        }
        for number in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(text(|out| signed(number, out)), number.to_string());
        }
        for number in [0.0, 0.001, 0.01, 0.1, 1.0, 1.5, 1e9, 999_999_999.999] {
            let mut out = Vec::new();
            assert!(thousandths(number, &mut out));
            assert_eq!(String::from_utf8(out).ok(), Some(format!("{number:?}")));
        }
        for number in [-0.0, -1.0, 0.0005, 1e-300, 1e12, f64::MAX, f64::INFINITY, f64::NAN] {
            assert!(!thousandths(number, &mut Vec::new()), "{number}");
        }
    }
}
