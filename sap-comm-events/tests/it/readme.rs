//! What the README says of the tests is true of them.

use std::{collections::BTreeSet, fs, path::Path};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all tests in the files of a directory.
fn tests(directory: &str) -> BTreeSet<String> {
    let files = fs::read_dir(package().join(directory)).unwrap();
    files.flat_map(|file| tests_in(&fs::read_to_string(file.unwrap().path()).unwrap())).collect()
}

/// The names of the functions with an attribute that makes them tests, whatever stands between.
fn tests_in(text: &str) -> BTreeSet<String> {
    let (mut names, mut is_test) = (BTreeSet::new(), false);
    for line in text.lines() {
        let function = line.split_once("fn ").filter(|(before, _)| matches!(*before, "" | "async "));
        if line == "#[test]" || line.starts_with("#[tokio::test]") || line.starts_with("#[tokio::test(") {
            is_test = true;
        } else if let Some((_, rest)) = function {
            names.extend(rest.split('(').next().filter(|_| is_test).map(str::to_owned));
            is_test = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
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
    let tests = tests("tests/it/rabbitmq");
    let mut named = 0;
    for test in table.lines().skip(2).flat_map(|row| row.split('`').skip(1).step_by(2)) {
        assert!(tests.contains(test), "{test} is named in the README and does not exist");
        named += 1;
    }
    assert!(named > 30, "{named}");
}

#[test]
fn only_what_is_run_counts_as_a_test() {
    let text = "#[test]\nfn one() {}\n#[tokio::test(flavor = \"multi_thread\")]\n/// Why.\n#[expect(unused)]\nasync fn two() {}\n\
                async fn helper() {}\nfn other<T>() {}\n// #[test]\nfn commented() {}\n#[test]\n\nasync fn apart() {}\n\
                #[tokio::test]\nasync fn three() {\n    async fn inner() {}\n}\n";
    assert_eq!(Vec::from_iter(tests_in(text)), ["one", "three", "two"]);
}
