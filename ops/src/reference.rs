//! `docs/telemetry.md`: the catalogue as a page.

use telemetry::catalogue;

use crate::tree::Rendered;

/// The page.
pub fn rendered() -> Vec<Rendered> {
    vec![Rendered { path: catalogue::REFERENCE_PATH.to_owned(), text: catalogue::reference() }]
}
