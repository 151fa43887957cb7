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
}

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

/// The rows as aligned columns.
pub(crate) fn table(rows: &[Row]) -> String {
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
}
