//! Passwords: Argon2id, on threads of their own.
//!
//! A hash takes tens of milliseconds of a core. The threads are few and run at a lower priority than the runtime's, and their
//! queue is short, so that a storm of logins waits for itself and not the rest of the API for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
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

type Job = Box<dyn FnOnce(&Argon2<'static>) + Send>;

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
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hash(&argon2, "no user has this password").ok().context("argon2 cannot hash")?;
        let (queue, jobs) = sync_channel::<Job>(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for number in 0..(cores - 1).max(1) {
            let (argon2, jobs) = (argon2.clone(), Arc::clone(&jobs));
            let thread = std::thread::Builder::new().name(format!("password-{number}"));
            thread.spawn(move || work(&argon2, &jobs)).context("cannot start a thread for passwords")?;
        }
        Ok(Passwords { queue, decoy: decoy.into() })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move |argon2| hash(argon2, &password)).await?
    }

    /// Whether a password belongs to a hash. Without one, does the same work and says no.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let decoy = Arc::clone(&self.decoy);
        self.run(move |argon2| {
            let stored = stored.as_deref().unwrap_or(&decoy);
            let parsed = PasswordHash::new(stored).map_err(|_| PasswordError::Internal)?;
            Ok(argon2.verify_password(password.as_bytes(), &parsed).is_ok() && known)
        })
        .await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |argon2| {
            // A caller that has left needs no hash.
            if !answer.is_closed() {
                let _ = answer.send(work(argon2));
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
fn work(argon2: &Argon2<'static>, jobs: &Mutex<Receiver<Job>>) {
    // On Linux niceness belongs to the thread. Where it cannot be had, the queue still bounds the storm.
    let _ = rustix::process::nice(10);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(argon2),
            Err(_) => return,
        }
    }
}

fn hash(argon2: &Argon2<'static>, password: &str) -> Result<String, PasswordError> {
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::Internal)?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Internal)?;
    let hash = argon2.hash_password(password.as_bytes(), &salt).map_err(|_| PasswordError::Internal)?;
    Ok(hash.to_string())
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
    fn the_default_cost_is_19_mib_and_two_passes() {
        assert_eq!(Argon2Config::default(), Argon2Config { memory_kib: 19_456, passes: 2 });
    }
}
