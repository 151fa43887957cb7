//! The rows that a comparison prints.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::TaskError;

/// One figure of ours beside a peer's. `ratio` is ours / theirs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    subject: String,
    case: String,
    metric: String,
    unit: String,
    ours: f64,
    peer: String,
    theirs: f64,
    ratio: f64,
    better: Better,
    /// What the figures do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// The unit of what is either passed or not.
const PASSED_OR_NOT: &str = "bool";

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Higher,
    Lower,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// Reads one row a line; anything else is an error.
pub(crate) fn parse(output: &str) -> Result<Vec<Row>, TaskError> {
    let lines = output.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            serde_json::from_str(line)
                .map_err(|error| TaskError::Row { line: line.to_owned(), reason: error.to_string() })
        })
        .collect()
}

/// Figures as aligned columns, then what is either passed or not as a Markdown table of its own.
pub(crate) fn table(rows: &[Row]) -> String {
    let (marks, figures): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.unit == PASSED_OR_NOT);
    let columns = if figures.is_empty() { String::new() } else { columns(&figures) };
    let matrix = if marks.is_empty() { String::new() } else { matrix(&marks) };
    columns + &matrix
}

/// A line a case, a column for ours and for each peer.
fn matrix(rows: &[&Row]) -> String {
    let mut peers: Vec<&str> = Vec::new();
    let mut cases: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows {
        if !peers.contains(&row.peer.as_str()) {
            peers.push(&row.peer);
        }
        match cases.last_mut() {
            Some((case, of_case)) if *case == row.case => of_case.push(row),
            _ => cases.push((&row.case, vec![row])),
        }
    }
    let head = ["case", "sap-comm"].into_iter().chain(peers.iter().copied());
    let rule = vec!["---"; peers.len() + 2];
    let body = cases.iter().map(|(case, of_case)| {
        let theirs = peers.iter().map(|peer| match of_case.iter().find(|row| row.peer == *peer) {
            Some(row) => mark(row.theirs, row.note.is_some()),
            None => "",
        });
        let ours = of_case.first().map_or("", |row| mark(row.ours, false));
        [*case, ours].into_iter().chain(theirs).collect::<Vec<_>>()
    });
    let lines = [head.collect(), rule].into_iter().chain(body);
    lines.map(|cells| format!("| {} |\n", cells.join(" | "))).collect()
}

fn mark(figure: f64, noted: bool) -> &'static str {
    match (figure > 0.0, noted) {
        (true, _) => "✓",
        (false, true) => "–",
        (false, false) => "✗",
    }
}

fn columns(rows: &[&Row]) -> String {
    let head = ["case", "metric", "unit", "ours", "peer", "theirs", "ratio", "better"].map(str::to_owned);
    let body = rows.iter().map(|row| {
        let better = match row.better {
            Better::Higher => "higher",
            Better::Lower => "lower",
        };
        [
            format!("{} {}", row.subject, row.case),
            row.metric.clone(),
            row.unit.clone(),
            figure(row.ours),
            row.peer.clone(),
            figure(row.theirs),
            format!("{:.2}", row.ratio),
            better.to_owned(),
        ]
    });
    let lines: Vec<[String; 8]> = std::iter::once(head).chain(body).collect();
    let widths: [usize; 8] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0));
    lines.iter().fold(String::new(), |mut text, line| {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        text
    })
}

/// Three digits after the point for small figures, none for large ones.
fn figure(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"subject":"events","case":"publish","metric":"throughput","unit":"msg/s","ours":12000.0,"peer":"lapin","theirs":10000.0,"ratio":1.2,"better":"higher"}"#;

    #[test]
    fn a_row_is_printed_as_it_was_read() {
        let rows = parse(&format!("{LINE}\n\n{LINE}\n")).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].to_string(), LINE);
    }

    #[test]
    fn what_is_not_a_row_is_named() {
        let error = parse("warming up").unwrap_err().to_string();
        assert!(error.contains("warming up"), "{error}");
        let error = parse(&LINE.replace("higher", "sideways")).unwrap_err().to_string();
        assert!(error.contains("sideways"), "{error}");
    }

    #[test]
    fn a_table_has_aligned_columns() {
        let text = table(&parse(LINE).unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("ours"), lines[1].find("12000"));
        assert_eq!(lines[0].find("better"), lines[1].find("higher"));
    }

    #[test]
    fn what_is_passed_or_not_has_a_column_for_each_peer() {
        let row = |case: &str, peer: &str, theirs: u8, note: &str| {
            format!(
                r#"{{"subject":"traps","case":"{case}","metric":"passed","unit":"bool","ours":1.0,"peer":"{peer}","theirs":{theirs}.0,"ratio":1.0,"better":"higher"{note}}}"#
            )
        };
        let noted = row("b", "x", 0, r#","note":"not offered""#);
        let text = [row("a", "x", 1, ""), row("a", "y", 0, ""), noted.clone(), row("b", "y", 1, "")].join("\n");
        let rows = parse(&text).unwrap();
        assert_eq!(rows[2].to_string(), noted);
        let expected = "| case | sap-comm | x | y |\n| --- | --- | --- | --- |\n| a | ✓ | ✓ | ✗ |\n| b | ✓ | – | ✓ |\n";
        assert_eq!(table(&rows), expected);
    }
}
