//! What the README says of the tests is true of them.

use std::{collections::BTreeSet, fs, path::Path};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all functions in the files of a directory of tests.
fn functions(directory: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in fs::read_dir(package().join(directory)).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        names
            .extend(text.split("async fn ").skip(1).filter_map(|rest| Some(rest.split(['(', '<']).next()?.to_owned())));
    }
    names
}

#[test]
fn the_conformance_suite_is_listed_by_name() {
    let suite = fs::read_to_string(package().join("tests/it/conformance/mod.rs")).unwrap();
    let lists = suite.split("conformance!(@each $broker:").skip(1).map(|list| list.split_once(");").unwrap().0);
    let entries = lists.flat_map(|list| list.split(','));
    let run: BTreeSet<_> = entries.filter_map(|entry| Some(entry.trim().split_once("::")?.1.to_owned())).collect();
    assert!(run.len() > 80, "{run:?}");
    let readme = fs::read_to_string(package().join("README.md")).unwrap();
    let named = readme.split_once("(`tests/it/conformance`): ").unwrap().1.split_once(".\n\n").unwrap().0;
    let name = |words: &str| words.replace('\'', "").split_whitespace().collect::<Vec<_>>().join("_").replace(',', "");
    let named: BTreeSet<_> = named.split(';').map(name).collect();
    let differ = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(differ(&run, &named), [""; 0], "run, and not in the README");
    assert_eq!(differ(&named, &run), [""; 0], "in the README, and not run");
}

#[test]
fn every_test_that_the_complaint_table_names_is_there() {
    let readme = fs::read_to_string(package().join("README.md")).unwrap();
    let table = readme.split_once("| symptom elsewhere | test |").unwrap().1.split_once("\n\n").unwrap().0;
    let tests = functions("tests/it/rabbitmq");
    let mut named = 0;
    for test in table.lines().skip(2).flat_map(|row| row.split('`').skip(1).step_by(2)) {
        assert!(tests.contains(test), "{test} is named in the README and does not exist");
        named += 1;
    }
    assert!(named > 30, "{named}");
}
