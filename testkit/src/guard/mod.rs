//! Servers that end with the test, however it ends.
//!
//! Every server runs below a small shell, its guard, whose stdin is a pipe from the test process. When that process
//! is gone, even by kill -9 or with the server in a `static`, the pipe closes; the guard then kills exactly the
//! server's process tree and removes its directory.

mod home;
mod orders;
mod proc;
mod server;

pub use home::Home;
pub use server::Server;
