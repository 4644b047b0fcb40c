//! Passwords: Argon2id, on threads of their own.
//!
//! A hash takes tens of milliseconds of a core. The threads are few and run at a lower priority than the runtime's, and their
//! queue is short, so that a storm of logins waits for itself and not the rest of the API for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use argon2::password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::oneshot;

use crate::config::Argon2Config;

/// Passwords that may wait for a thread: at 30 ms each, about a second and a half on one thread.
const QUEUE_MAX: usize = 50;

/// Why a password was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordError {
    /// Too many are waiting.
    QueueFull,
    /// The hash could not be made or read.
    Internal,
}

type Job = Box<dyn FnOnce(&mut Hasher) + Send>;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub struct Passwords {
    queue: SyncSender<Job>,
    /// What an unknown user's password is checked against, so that the answer takes as long as for a known one.
    decoy: Arc<str>,
}

impl Passwords {
    /// Starts the threads: one on two cores, and never all cores.
    pub fn start(config: Argon2Config) -> anyhow::Result<Passwords> {
        let params = Params::new(config.memory_kib, config.passes, 1, None).ok().context("argon2 refuses its cost")?;
        let mut hasher = Hasher { params, memory: Vec::new() };
        let decoy = hasher.hash("no user has this password").ok().context("argon2 cannot hash")?;
        hasher.memory = Vec::new();
        let (queue, jobs) = sync_channel::<Job>(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for number in 0..(cores - 1).max(1) {
            let (hasher, jobs) = (hasher.clone(), Arc::clone(&jobs));
            let thread = std::thread::Builder::new().name(format!("password-{number}"));
            thread.spawn(move || work(hasher, &jobs)).context("cannot start a thread for passwords")?;
        }
        Ok(Passwords { queue, decoy: decoy.into() })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move |hasher| hasher.hash(&password)).await?
    }

    /// Whether a password belongs to a hash. Without one, does the same work and says no.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let decoy = Arc::clone(&self.decoy);
        self.run(move |hasher| Ok(hasher.verifies(&password, stored.as_deref().unwrap_or(&decoy))? && known)).await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hasher) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |hasher| {
            // A caller that has left needs no hash.
            if !answer.is_closed() {
                let _ = answer.send(work(hasher));
            }
        });
        match self.queue.try_send(job) {
            Ok(()) => result.await.map_err(|_| PasswordError::Internal),
            Err(TrySendError::Full(_)) => Err(PasswordError::QueueFull),
            Err(TrySendError::Disconnected(_)) => Err(PasswordError::Internal),
        }
    }
}

/// One thread: takes jobs until the last [`Passwords`] is gone.
fn work(mut hasher: Hasher, jobs: &Mutex<Receiver<Job>>) {
    // On Linux niceness belongs to the thread. Where it cannot be had, the queue still bounds the storm.
    let _ = rustix::process::nice(10);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(&mut hasher),
            Err(_) => return,
        }
    }
}

/// Argon2id with memory of its own. Kept from one password to the next: 19 MiB that are taken and given back for each would
/// leave the allocator's arenas several times as large, and each page would be zeroed again.
#[derive(Clone)]
struct Hasher {
    params: Params,
    memory: Vec<Block>,
}

impl Hasher {
    fn hash(&mut self, password: &str) -> Result<String, PasswordError> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::Internal)?;
        let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Internal)?;
        let params = self.params.clone();
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(|_| PasswordError::Internal)?,
            salt: Some(salt.as_salt()),
            hash: Some(self.output(password, salt.as_salt(), Version::V0x13, params)?),
        };
        Ok(hash.to_string())
    }

    /// Whether the password belongs to a PHC string, whose own costs count: those of the configuration may have changed.
    fn verifies(&mut self, password: &str, stored: &str) -> Result<bool, PasswordError> {
        let stored = PasswordHash::new(stored).map_err(|_| PasswordError::Internal)?;
        let params = Params::try_from(&stored).map_err(|_| PasswordError::Internal)?;
        let version = stored.version.map_or(Ok(Version::V0x13), Version::try_from);
        let (Some(salt), Some(expected), Ok(version)) = (stored.salt, stored.hash, version) else {
            return Err(PasswordError::Internal);
        };
        if stored.algorithm != Algorithm::Argon2id.ident() {
            return Err(PasswordError::Internal);
        }
        // Compared in constant time: `Output` says so.
        Ok(self.output(password, salt, version, params)? == expected)
    }

    fn output(
        &mut self,
        password: &str,
        salt: Salt<'_>,
        version: Version,
        params: Params,
    ) -> Result<Output, PasswordError> {
        let (blocks, length) = (params.block_count(), params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN));
        if self.memory.len() < blocks {
            self.memory.resize(blocks, Block::new());
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
        let mut buffer = [0; Salt::MAX_LENGTH];
        let salt = salt.decode_b64(&mut buffer).map_err(|_| PasswordError::Internal)?;
        let memory = &mut self.memory[..blocks];
        let output = Output::init_with(length, |out| {
            Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, memory)?)
        });
        // A stored hash may have asked for more than passwords cost today; that much is not kept.
        self.memory.truncate(self.params.block_count());
        self.memory.shrink_to_fit();
        output.map_err(|_| PasswordError::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let passwords = Passwords::start(Argon2Config { memory_kib: 64, passes: 1 }).unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_eq!(passwords.verify("correct horse".into(), Some(hash.clone())).await, Ok(true));
        assert_eq!(passwords.verify("battery staple".into(), Some(hash)).await, Ok(false));
        assert_eq!(passwords.verify("no user has this password".into(), None).await, Ok(false));
    }

    #[test]
    fn a_hash_is_what_the_standard_says_whatever_was_in_the_memory_before() {
        let mut hasher = Hasher { params: Params::new(32, 1, 1, None).unwrap(), memory: Vec::new() };
        hasher.hash("another password, at a smaller cost").unwrap();
        // Derived by OpenSSL's Argon2id: password "password", salt "somesalt".
        let stored = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$FqGkmHNGCd0BRW2kBt6fPZ2pPmyGwwChL8FGUhTOSSI";
        assert_eq!(hasher.verifies("password", stored), Ok(true));
        assert_eq!(hasher.verifies("Password", stored), Ok(false));
        assert_eq!(hasher.memory.len(), 32, "no more is kept than a hash of today takes");
        for other in [
            "",
            "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQ$FqGkmHNGCd0BRW2kBt6fPZ2pPmyGwwChL8FGUhTOSSI",
            "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ",
        ] {
            assert_eq!(hasher.verifies("password", other), Err(PasswordError::Internal), "{other}");
        }
    }

    #[test]
    fn the_default_cost_is_19_mib_and_two_passes() {
        assert_eq!(Argon2Config::default(), Argon2Config { memory_kib: 19_456, passes: 2 });
    }
}
