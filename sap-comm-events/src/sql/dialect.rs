use super::SqlError;

/// Where the two databases differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(crate) fn of(name: &str) -> Result<Self, SqlError> {
        match name {
            "SQLite" | "sqlite" => Ok(Self::Sqlite),
            "PostgreSQL" | "postgres" | "postgresql" => Ok(Self::Postgres),
            _ => Err(SqlError::Unsupported { name: name.to_owned() }),
        }
    }

    /// Begins a transaction that writes. A SQLite transaction that began as a reader cannot always become a writer.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Fills `{now}`, milliseconds since the Unix epoch by the database's clock, which all processes share, the same
    /// throughout a statement: a lease that ended in the middle of one would let a later event overtake; `{serial}`,
    /// the type of a key that counts up; and `{list}`, the rows of a list made by [`Dialect::list`] and bound as `$1`.
    pub(crate) fn fill(self, template: &str) -> String {
        let (now, serial, list) = match self {
            Self::Sqlite => (
                "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
                "INTEGER PRIMARY KEY AUTOINCREMENT",
                "(SELECT value FROM json_each('[' || $1 || ']'))",
            ),
            Self::Postgres => (
                "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
                "BIGSERIAL PRIMARY KEY",
                "(SELECT unnest(CAST(string_to_array($1, ',') AS BIGINT[])))",
            ),
        };
        [("{now}", now), ("{serial}", serial), ("{list}", list)]
            .into_iter()
            .fold(template.to_owned(), |sql, (name, value)| sql.replace(name, value))
    }

    /// Numbers as one parameter.
    pub(crate) fn list(numbers: &[i64]) -> String {
        let texts: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        texts.join(",")
    }
}
