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

/// Whether a source has a test of this name, of which `…` stands for the rest.
fn has_test(source: &str, name: &str) -> bool {
    let head = name.strip_suffix('…').map_or_else(|| format!("fn {name}("), |begin| format!("fn {begin}"));
    let lines: Vec<_> = source.lines().map(str::trim_start).collect();
    let is_test = |at: usize| {
        let mut above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
    };
    lines.iter().enumerate().any(|(at, line)| line.trim_start_matches("async ").starts_with(&head) && is_test(at))
}

#[test]
fn every_test_that_the_table_of_attacks_names_is_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["tests/it", "src", "../sap-comm-core/tests", "../sap-comm-core/src", "../examples/src"] {
        sources(&package.join(directory), &mut files);
    }
    let readme = fs::read_to_string(package.join("README.md")).unwrap();
    let table = readme.split_once("| attack | test |").unwrap().1.split_once("\n\n").unwrap().0;
    // A crate, a header, and how keys are compared.
    let others = ["sap-comm-core", "Authorization", "ApiKeySet::verify", "constant_time::verify_slices_are_equal"];
    let mut named = 0;
    for row in table.lines().skip(2) {
        let (_, tests) = row.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        let before = named;
        for name in tests.split('`').skip(1).step_by(2).filter(|name| !others.contains(name)) {
            let (module, test) = name.rsplit_once("::").unwrap_or_else(|| panic!("{name} is no function"));
            let module = format!("/{}", module.replace("::", "/"));
            let is_there = files.iter().any(|(path, source)| path.ends_with(&module) && has_test(source, test));
            assert!(is_there, "{name} is named in the README and is no test");
            named += 1;
        }
        assert!(named > before, "no test is named in {row}");
    }
    assert!(named > 90, "{named}");
}

#[test]
fn a_function_that_is_no_test_is_not_taken_for_one() {
    let source = "\
#[test]
fn first_one() {}

/// The second.
#[tokio::test(flavor = \"multi_thread\")]
#[cfg(unix)]
async fn second_one() {}
fn third_one() {}

// #[test]
fn fourth_one() {}
";
    for (name, is_there) in [
        ("first_one", true),
        ("first_…", true),
        ("first", false),
        ("second_one", true),
        ("third_one", false),
        ("fourth_one", false),
        ("fifth_…", false),
    ] {
        assert_eq!(has_test(source, name), is_there, "{name}");
    }
}
