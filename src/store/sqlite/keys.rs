//! API keys.

use crate::model::UnixMillis;

use super::super::key::NOTED_EVERY;
use super::super::{ApiKey, Scope, StoreError};
use super::{Row, Sqlite, get, get_json, query, to_json};

macro_rules! key_columns {
    () => {
        "id, label, scopes, profiles, created_at, expires_at, revoked_at, last_used_at"
    };
}

impl Sqlite {
    pub(in super::super) async fn key_create(&self, key: ApiKey, hash: [u8; 32]) -> Result<(), StoreError> {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let (scopes, profiles) = (to_json(&scopes)?, to_json(&key.profiles)?);
        self.write(move |tx| {
            query(
                "INSERT INTO api_keys (id, hash, label, scopes, profiles, created_at, expires_at)
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&key.id)
            .bind(hash.as_slice())
            .bind(&key.label)
            .bind(&scopes)
            .bind(&profiles)
            .bind(key.created_at.0)
            .bind(key.expires_at.map(|at| at.0))
            .execute(tx.conn)
            .map(drop)
        })
        .await
    }

    pub(in super::super) async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(move |conn| {
            let rows = query(concat!(
                "SELECT ",
                key_columns!(),
                " FROM api_keys ORDER BY created_at, id"
            ))
            .fetch_all(conn)?;
            rows.iter().map(key_of).collect()
        })
        .await
    }

    pub(in super::super) async fn key_revoke(&self, id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |tx| {
            query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?")
                .bind(now.0)
                .bind(&id)
                .execute(tx.conn)
                .map(|changed| changed > 0)
        })
        .await
    }

    pub(in super::super) async fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let hash = *hash;
        self.read(move |conn| {
            let row = query(concat!(
                "SELECT ",
                key_columns!(),
                " FROM api_keys WHERE hash = ?"
            ))
            .bind(hash.as_slice())
            .fetch_optional(conn)?;
            row.as_ref().map(key_of).transpose()
        })
        .await
    }

    pub(in super::super) async fn key_touch(&self, id: &str, now: UnixMillis) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write_idly(move |tx| {
            query("UPDATE api_keys SET last_used_at = ?1 WHERE id = ?2 AND coalesce(last_used_at, 0) <= ?3")
                .bind(now.0)
                .bind(&id)
                .bind(now.minus(NOTED_EVERY).0)
                .execute(tx.conn)
                .map(drop)
        })
        .await
    }
}

fn key_of(row: &Row) -> Result<ApiKey, StoreError> {
    let scopes: Vec<String> = get_json(row, "scopes")?;
    let scopes = scopes
        .iter()
        .map(|word| {
            word.parse::<Scope>()
                .map_err(|error| StoreError::Corrupt(error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let millis = |column| Ok::<_, StoreError>(get::<Option<i64>>(row, column)?.map(UnixMillis));
    Ok(ApiKey {
        id: get(row, "id")?,
        label: get(row, "label")?,
        scopes,
        profiles: get_json(row, "profiles")?,
        created_at: UnixMillis(get(row, "created_at")?),
        expires_at: millis("expires_at")?,
        revoked_at: millis("revoked_at")?,
        last_used_at: millis("last_used_at")?,
    })
}
