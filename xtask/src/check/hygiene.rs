//! What tracked files must not hold, and how long they may grow.

use std::{fs, path::PathBuf};

use super::verdict;
use crate::{
    command::{Run, root},
    error::TaskError,
};

const LONG: usize = 600;

/// Traces of one machine or one registry. Split, so that this file is not a finding itself.
const TRACES: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("registry.npm", "js.org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("\"resolved\": \"", "http"),
];

/// No tracked file names a path of somebody's machine or the host of a registry.
pub(super) fn check() -> Result<String, TaskError> {
    let mut findings = Vec::new();
    let mut count = 0;
    for (name, text) in tracked()? {
        count += 1;
        let lines = text.lines().enumerate();
        let traces =
            lines.filter_map(|(index, line)| Some((index + 1, TRACES.iter().find(|trace| line.contains(**trace))?)));
        findings.extend(traces.map(|(line, trace)| format!("{name}:{line} mentions {trace}")));
    }
    verdict(&findings, format!("{count} files"))
}

/// Names the Rust files that have grown long, without failing for it.
pub(super) fn sizes() -> Result<String, TaskError> {
    let long: Vec<String> = tracked()?
        .into_iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LONG)
        .map(|(name, lines)| format!("{name} ({lines} lines)"))
        .collect();
    Ok(if long.is_empty() { format!("no file over {LONG} lines") } else { format!("long: {}", long.join(", ")) })
}

/// Every tracked text file.
fn tracked() -> Result<Vec<(String, String)>, TaskError> {
    let names = Run::new("git").args(["ls-files", "-z"]).capture()?.stdout;
    let mut files = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path: PathBuf = root().join(name);
        match fs::read(&path) {
            Ok(bytes) => files.extend(String::from_utf8(bytes).ok().map(|text| (name.to_owned(), text))),
            // Deleted, and the deletion is not committed yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(TaskError::Unreadable { path: name.to_owned(), reason: error.to_string() });
            }
        }
    }
    Ok(files)
}
