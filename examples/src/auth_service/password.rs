use std::{num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use sap_comm::{ApiError, ErrorCode};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// Passwords that may wait for a processor; each takes tens of milliseconds.
const QUEUE: usize = 64;
/// Less than a caller waits for the answer.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Hashes and verifies passwords: as many at once as there are processors, off the runtime. It is slow on purpose.
#[derive(Debug, Clone)]
pub(super) struct Passwords {
    /// One for each that is at work.
    slots: Arc<Semaphore>,
    /// One for each that is at work or waits.
    places: Arc<Semaphore>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self::bounded(available_parallelism().map_or(2, NonZero::get), QUEUE)
    }

    fn bounded(slots: usize, queue: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots)), places: Arc::new(Semaphore::new(slots + queue)) }
    }

    /// Hashes a password.
    pub(super) async fn hash(&self, password: String) -> Result<String, ApiError> {
        self.run(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| ApiError::internal(error.to_string()))
        })
        .await
    }

    /// Whether the password fits the hash. Without a hash it takes as long and says no: an unknown user cannot be told
    /// from a wrong password.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, ApiError> {
        let Some(text) = hash else {
            self.hash(password).await?;
            return Ok(false);
        };
        self.run(move || {
            let hash = PasswordHash::new(&text).map_err(|error| ApiError::internal(error.to_string()))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let slot = timeout(MAX_WAIT, self.slots.clone().acquire_owned()).await.map_err(|_| overloaded())?;
        let slot = slot.map_err(ApiError::internal)?;
        // The work goes on when the caller is gone, so it holds its slot itself.
        let worked = spawn_blocking(move || {
            let _held = (place, slot);
            work()
        });
        worked.await.map_err(ApiError::internal)?
    }
}

fn overloaded() -> ApiError {
    ApiError::new(ErrorCode::OVERLOADED, "Too many passwords are being checked").retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let passwords = Passwords::bounded(1, 1);
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn beyond_the_queue_is_overloaded_even_when_callers_leave() {
        let passwords = Passwords::bounded(1, 0);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let busy = passwords.clone();
        let caller = tokio::spawn(async move {
            busy.run(move || {
                _ = begun.send(());
                finished.recv().map_err(ApiError::internal)
            })
            .await
        });
        has_begun.await.unwrap();
        caller.abort();
        let refused = passwords.hash("correct horse".into()).await.unwrap_err();
        assert_eq!(*refused.code(), ErrorCode::OVERLOADED);
        assert!(refused.retry_after_hint().is_some());
        finish.send(()).unwrap();
    }
}
