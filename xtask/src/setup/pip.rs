//! The Python programs of the tests, in a virtual environment of their own.

use std::fs;

use sap_comm_testkit::install::{locate, python_dir, python_env, python_env_is_stale};

use crate::{command::Run, error::TaskError};

const LIST: &str = "requirements.txt";

/// Makes the environment anew unless everything is there as listed.
pub(super) fn install() -> Result<(), TaskError> {
    if !python_env_is_stale()? {
        return Ok(());
    }
    let (list, env) = (python_dir().join(LIST), python_env());
    Run::new(locate("virtualenv")?).args(["--quiet", "--clear"]).args([&env]).show_on_stderr()?;
    let pip =
        Run::new(env.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.args([&list]).show_on_stderr()?;
    // The last step, so that an environment that is half made is made again.
    let done = env.join(LIST);
    fs::copy(&list, &done)
        .map(drop)
        .map_err(|source| TaskError::Unwritable { path: done.to_string_lossy().into_owned(), source })
}
