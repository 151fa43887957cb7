use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use sap_comm::ApiError;

/// Hashes a password, off the runtime: it takes tens of milliseconds on purpose.
pub(super) async fn hash(password: String) -> Result<String, ApiError> {
    let hashed = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    });
    hashed.await.map_err(ApiError::internal)?.map_err(|error| ApiError::internal(error.to_string()))
}

/// Whether the password fits the hash. Without a hash it takes as long and says no: an unknown user cannot be told from
/// a wrong password.
pub(super) async fn verify(password: String, hash: Option<String>) -> Result<bool, ApiError> {
    let Some(text) = hash else {
        self::hash(password).await?;
        return Ok(false);
    };
    let verified = tokio::task::spawn_blocking(move || {
        let hash = PasswordHash::new(&text).map_err(|error| ApiError::internal(error.to_string()))?;
        Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    verified.await.map_err(ApiError::internal)?
}
