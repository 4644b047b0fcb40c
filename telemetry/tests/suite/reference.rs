//! The page for people is the catalogue as it stands.

use std::{fs, path::PathBuf};

use telemetry::catalogue::{REFERENCE_PATH, reference};

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", REFERENCE_PATH].iter().collect()
}

#[test]
fn the_page_in_the_repository_is_the_catalogue_as_it_stands() {
    let page = fs::read_to_string(path()).unwrap_or_default();
    let rendered = reference();
    assert!(rendered.starts_with("<!-- Rendered by `cargo run -p ops -- render`"));
    let stale = page.lines().zip(rendered.lines()).find(|(written, rendered)| written != rendered);
    assert!(
        page == rendered,
        "{REFERENCE_PATH} is stale, first at {stale:?} (written, then as it should be); renew it with \
         `cargo run -p ops -- render`"
    );
}
