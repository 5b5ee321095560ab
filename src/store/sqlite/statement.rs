//! One SQL statement: bound, run, its rows read by column name.
//!
//! Does: keep statements prepared, turn the engine's failures into [`StoreError`]. Does not: know a table.
//! Everything here blocks: it runs on the writer's thread or on one that may block ([`super::readers`]).
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode};

use super::super::StoreError;

pub(super) const fn query(sql: &'static str) -> Statement<'static> {
    Statement {
        sql,
        parameters: Vec::new(),
    }
}

/// A statement whose parameters are bound in the order of their numbers.
pub(super) struct Statement<'q> {
    sql: &'static str,
    parameters: Vec<Parameter<'q>>,
}

impl<'q> Statement<'q> {
    pub(super) fn bind<'a>(self, parameter: impl Into<Parameter<'a>>) -> Statement<'a>
    where
        'q: 'a,
    {
        let mut parameters: Vec<Parameter<'a>> = self.parameters;
        parameters.push(parameter.into());
        Statement {
            sql: self.sql,
            parameters,
        }
    }

    /// Rows that it changed.
    pub(super) fn execute(self, conn: &Connection) -> Result<u64, StoreError> {
        let changed = self.prepared(conn)?.raw_execute().map_err(engine_error)?;
        Ok(changed as u64)
    }

    pub(super) fn fetch_all(self, conn: &Connection) -> Result<Vec<Row>, StoreError> {
        self.fetch(conn, usize::MAX)
    }

    /// The first row.
    pub(super) fn fetch_optional(self, conn: &Connection) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch(conn, 1)?.pop())
    }

    /// The first row of a statement that always has one.
    pub(super) fn fetch_one(self, conn: &Connection) -> Result<Row, StoreError> {
        self.fetch_optional(conn)?.ok_or(StoreError::NotFound("row"))
    }

    fn fetch(self, conn: &Connection, rows_max: usize) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.prepared(conn)?;
        let names = names_of(self.sql, &statement);
        let mut cursor = statement.raw_query();
        let mut rows = Vec::new();
        while rows.len() < rows_max
            && let Some(row) = cursor.next().map_err(engine_error)?
        {
            let values = (0..names.len()).map(|column| row.get(column));
            rows.push(Row {
                names: names.clone(),
                values: values.collect::<Result<_, _>>().map_err(engine_error)?,
            });
        }
        Ok(rows)
    }

    fn prepared<'c>(&self, conn: &'c Connection) -> Result<CachedStatement<'c>, StoreError> {
        let mut statement = conn.prepare_cached(self.sql).map_err(engine_error)?;
        for (index, parameter) in self.parameters.iter().enumerate() {
            statement
                .raw_bind_parameter(index + 1, parameter)
                .map_err(engine_error)?;
        }
        Ok(statement)
    }
}

type Names = Arc<[Box<str>]>;

thread_local! {
    /// Column names by statement: to ask the engine each time would allocate each of them once a query.
    static NAMES: RefCell<HashMap<&'static str, Names>> = RefCell::default();
}

fn names_of(sql: &'static str, statement: &CachedStatement<'_>) -> Names {
    NAMES.with_borrow_mut(|known| {
        let names = known
            .entry(sql)
            .or_insert_with(|| statement.column_names().map(Box::from).collect());
        Arc::clone(names)
    })
}

/// A value on its way in.
pub(super) enum Parameter<'q> {
    Null,
    Integer(i64),
    Text(Cow<'q, str>),
    Blob(&'q [u8]),
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(octets) => ValueRef::Blob(octets),
        }))
    }
}

macro_rules! integer_parameters {
    ($($type:ty),+) => {
        $(impl From<$type> for Parameter<'_> {
            fn from(value: $type) -> Self {
                Self::Integer(i64::from(value))
            }
        })+
    };
}
integer_parameters!(i64, i32, u32, u16, u8, bool);

impl<'q> From<&'q str> for Parameter<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'q> From<&'q String> for Parameter<'q> {
    fn from(text: &'q String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Parameter<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'q> From<&'q [u8]> for Parameter<'q> {
    fn from(octets: &'q [u8]) -> Self {
        Self::Blob(octets)
    }
}

impl<'q, T: Into<Self>> From<Option<T>> for Parameter<'q> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'q> From<&'q Option<String>> for Parameter<'q> {
    fn from(value: &'q Option<String>) -> Self {
        value.as_deref().into()
    }
}

/// A row that was read.
#[derive(Debug, Clone)]
pub(super) struct Row {
    names: Names,
    values: Vec<Value>,
}

/// A value on its way out. `None`: the column holds something else.
pub(super) trait Column<'r>: Sized {
    const EXPECTED: &'static str;
    fn of(value: &'r Value) -> Option<Self>;
}

impl Column<'_> for i64 {
    const EXPECTED: &'static str = "an integer";
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }
}

impl Column<'_> for bool {
    const EXPECTED: &'static str = "0 or 1";
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(value) => Some(*value != 0),
            _ => None,
        }
    }
}

impl<'r> Column<'r> for &'r str {
    const EXPECTED: &'static str = "text";
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Column<'_> for String {
    const EXPECTED: &'static str = "text";
    fn of(value: &Value) -> Option<Self> {
        <&str>::of(value).map(str::to_owned)
    }
}

impl<'r> Column<'r> for &'r [u8] {
    const EXPECTED: &'static str = "octets";
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Blob(octets) => Some(octets),
            _ => None,
        }
    }
}

impl<'r, T: Column<'r>> Column<'r> for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::of(value).map(Some),
        }
    }
}

/// A column by name.
pub(super) fn get<'r, T: Column<'r>>(row: &'r Row, column: &'static str) -> Result<T, StoreError> {
    let value = row
        .names
        .iter()
        .position(|name| **name == *column)
        .and_then(|index| row.values.get(index))
        .ok_or_else(|| StoreError::Corrupt(format!("{column}: no such column")))?;
    // Not what was found: it may be a number that nobody should read.
    T::of(value).ok_or_else(|| {
        StoreError::Corrupt(format!(
            "{column}: expected {}, found {}",
            T::EXPECTED,
            value.data_type()
        ))
    })
}

/// A column that holds a word, an id, or anything else with a text form.
pub(super) fn get_parsed<T>(row: &Row, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let text: &str = get(row, column)?;
    text.parse()
        .map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
}

pub(super) fn get_parsed_option<T>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let text: Option<&str> = get(row, column)?;
    text.map(|text| {
        text.parse()
            .map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
    })
    .transpose()
}

/// A column that is never negative.
pub(super) fn get_count<T: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    let value: i64 = get(row, column)?;
    T::try_from(value).map_err(|_| StoreError::Corrupt(format!("{column}: found {value}")))
}

pub(super) fn get_json<T: serde::de::DeserializeOwned>(
    row: &Row,
    column: &'static str,
) -> Result<T, StoreError> {
    let text: &str = get(row, column)?;
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
}

/// What a failure of the engine means to a caller.
pub(super) fn engine_error(error: rusqlite::Error) -> StoreError {
    let message = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(message),
        Some(ErrorCode::ConstraintViolation) => StoreError::Conflict("row"),
        _ => StoreError::Unavailable(message),
    }
}
