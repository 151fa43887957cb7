//! What the README says of the tests is true of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.with_extension("").display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_test_that_the_table_of_attacks_names_is_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["tests/it", "src", "../sap-comm-core/tests", "../sap-comm-core/src"] {
        sources(&package.join(directory), &mut files);
    }
    let readme = fs::read_to_string(package.join("README.md")).unwrap();
    let table = readme.split_once("| attack | test |").unwrap().1.split_once("\n\n").unwrap().0;
    let tests = table.lines().skip(2).filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | ")).map(|row| row.1);
    let mut named = 0;
    // A crate, and a header.
    let others = ["sap-comm-core", "Authorization"];
    for name in tests.flat_map(|tests| tests.split('`').skip(1).step_by(2)).filter(|name| !others.contains(name)) {
        let (module, test) = match name.rsplit_once("::") {
            Some((module, test)) => (module.replace("::", "/"), test.trim_end_matches('…')),
            None => (name.to_owned(), ""),
        };
        let of_module = |path: &str| path.ends_with(&format!("/{module}")) || path.contains(&format!("/{module}/"));
        let test = format!("fn {test}");
        let is_there = files.iter().any(|(path, text)| of_module(path) && text.contains(&test));
        assert!(is_there, "{name} is named in the README and does not exist");
        named += 1;
    }
    assert!(named > 40, "{named}");
}
