//! Tells the build which revision of the source it is made of, for `build_info`.
//!
//! `GIT_REVISION` where it is set, as by the build of an image, which has no `.git`; else what git says of this checkout; else
//! `unknown`. A commit builds this crate anew, and only this crate and what stands on it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest revision that is taken: a SHA-256 has 64 characters.
const REVISION_CHARACTERS_MAX: usize = 64;

fn main() {
    println!("cargo::rerun-if-env-changed=GIT_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script by the environment")]
    let given = std::env::var("GIT_REVISION").ok().and_then(|text| revision(&text));
    let revision = given.or_else(|| {
        is_own_checkout().then_some(())?;
        // Only what exists: cargo takes a missing file for one that has changed, at each build.
        for file in watched().iter().filter(|file| file.exists()) {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        revision(&git(&["rev-parse", "--short=12", "HEAD"])?)
    });
    println!("cargo::rustc-env=GIT_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

/// Whether the repository that git finds is this one, and not one that an unpacked archive happens to lie in.
fn is_own_checkout() -> bool {
    let found = git(&["rev-parse", "--show-toplevel"]).and_then(|path| Path::new(&path).canonicalize().ok());
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(|path| path.canonicalize().ok());
    found.is_some() && found == own
}

/// The files of git that change when `HEAD` does, wherever they are: a worktree has some of its own and shares others. A branch
/// may be packed and have no file; then the log of `HEAD` tells of the next commit.
fn watched() -> Vec<PathBuf> {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref());
    names.filter_map(|name| git(&["rev-parse", "--git-path", name])).map(|path| directory().join(path)).collect()
}

/// What git answers, without the end of its line; nothing where it is missing or refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory()).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

/// This crate's: git's answers are relative to it.
fn directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text, if it is one that a label should have.
fn revision(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = |character: char| character.is_ascii_alphanumeric() || "._-+/".contains(character);
    ((1..=REVISION_CHARACTERS_MAX).contains(&text.len()) && text.chars().all(fits)).then(|| text.to_owned())
}
