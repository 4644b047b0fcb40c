//! Random numbers for ids: unguessable enough to be unique, cheap enough for every request.
//!
//! A system call per id costs more than the rest of a trace context together. Instead each thread takes one SipHash
//! key from the operating system (that is what `RandomState` does) and hashes a counter under it. These numbers
//! name things; none is a secret.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

thread_local! {
    static GENERATOR: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

/// 64 random bits.
pub(crate) fn random_u64() -> u64 {
    GENERATOR.with(|(key, counter)| {
        counter.set(counter.get().wrapping_add(1));
        key.hash_one(counter.get())
    })
}

/// Random bytes.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random_u64().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_do_not_repeat_within_or_across_threads() {
        let draw = || (0..10_000).map(|_| random_u64()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw).join();
        let mut all: HashSet<u64> = draw().into_iter().collect();
        all.extend(other.unwrap_or_default());
        assert_eq!(all.len(), 20_000);
    }
}
