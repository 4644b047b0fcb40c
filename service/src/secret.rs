//! The key that the embedded service makes for itself: a file beside the SQLite database, readable by its owner alone.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::config::Secret;

/// The key beside the database of `url`, made now if there is none.
pub fn beside(url: &str) -> anyhow::Result<Secret> {
    let Some(database) = url.strip_prefix("sqlite://") else { bail!("JWT_SECRET is required with PostgreSQL") };
    let mut path = PathBuf::from(database).into_os_string();
    path.push(".jwt_secret");
    let path = PathBuf::from(path);
    match create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("cannot write the key file {}", path.display())),
    }
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read the key file {}", path.display()))?;
    let text = text.trim();
    if text.len() < 32 {
        bail!("the key file {} holds less than 32 bytes: remove it to have another made", path.display());
    }
    Ok(Secret::new(text))
}

/// Writes a new key under another name first: a start that is cut short leaves no half key behind.
fn create(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let mut bytes = [0; 48];
    SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("no randomness"))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", BASE64.encode(bytes))?;
    file.sync_all()?;
    // A link, unlike a rename, does not replace the key of another process that was faster.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    linked
}
