//! Sessions of the hosted wizard.

use crate::model::UnixMillis;

use super::super::{Enrollment, StoreError, Visibility};
use super::{Row, Sqlite, get, get_count, get_parsed_option, query};

macro_rules! enrollment_columns {
    () => {
        "id, token_hash, key_id, profile, state, request_json, wizard_json, verification_id, return_url, \
         created_at, updated_at, expires_at, version"
    };
}

impl Sqlite {
    pub(in super::super) async fn enrollment_create(&self, new: Enrollment) -> Result<(), StoreError> {
        self.write(move |tx| {
            query(concat!(
                "INSERT INTO enrollments (",
                enrollment_columns!(),
                ")
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ))
            .bind(&new.id)
            .bind(new.token_hash.as_slice())
            .bind(&new.key_id)
            .bind(&new.profile)
            .bind(&new.state)
            .bind(&new.request_json)
            .bind(&new.wizard_json)
            .bind(new.verification.map(|id| id.to_string()))
            .bind(&new.return_url)
            .bind(new.created_at.0)
            .bind(new.updated_at.0)
            .bind(new.expires_at.0)
            .bind(new.version as i64)
            .execute(tx.conn)
            .map(drop)
        })
        .await
    }

    pub(in super::super) async fn enrollment(
        &self,
        id: &str,
        visibility: &Visibility,
    ) -> Result<Option<Enrollment>, StoreError> {
        let (id, visibility) = (id.to_owned(), visibility.clone());
        self.read(move |conn| {
            let row = query(concat!(
                "SELECT ",
                enrollment_columns!(),
                " FROM enrollments WHERE id = ?"
            ))
            .bind(id)
            .fetch_optional(conn)?;
            let found = row.as_ref().map(enrollment_of).transpose()?;
            Ok(found.filter(|enrollment| visibility.sees(&enrollment.profile)))
        })
        .await
    }

    pub(in super::super) async fn enrollment_by_token(
        &self,
        token_hash: &[u8; 32],
    ) -> Result<Option<Enrollment>, StoreError> {
        let token_hash = *token_hash;
        self.read(move |conn| {
            let row = query(concat!(
                "SELECT ",
                enrollment_columns!(),
                " FROM enrollments WHERE token_hash = ?"
            ))
            .bind(token_hash.as_slice())
            .fetch_optional(conn)?;
            row.as_ref().map(enrollment_of).transpose()
        })
        .await
    }

    pub(in super::super) async fn enrollment_update(&self, new: Enrollment) -> Result<u64, StoreError> {
        self.write(move |tx| {
            let row = query(
                "UPDATE enrollments SET state = ?, request_json = ?, wizard_json = ?, verification_id = ?,
                            return_url = ?, updated_at = ?, expires_at = ?, version = version + 1
                     WHERE id = ? AND version = ? RETURNING version",
            )
            .bind(&new.state)
            .bind(&new.request_json)
            .bind(&new.wizard_json)
            .bind(new.verification.map(|id| id.to_string()))
            .bind(&new.return_url)
            .bind(new.updated_at.0)
            .bind(new.expires_at.0)
            .bind(&new.id)
            .bind(new.version as i64)
            .fetch_optional(tx.conn)?;
            get_count(&row.ok_or(StoreError::Conflict("enrollment"))?, "version")
        })
        .await
    }
}

fn enrollment_of(row: &Row) -> Result<Enrollment, StoreError> {
    let token_hash = get::<&[u8]>(row, "token_hash")?
        .try_into()
        .map_err(|_| StoreError::Corrupt("enrollments.token_hash: expected 32 octets".into()))?;
    Ok(Enrollment {
        id: get(row, "id")?,
        token_hash,
        key_id: get(row, "key_id")?,
        profile: get(row, "profile")?,
        state: get(row, "state")?,
        request_json: get(row, "request_json")?,
        wizard_json: get(row, "wizard_json")?,
        verification: get_parsed_option(row, "verification_id")?,
        return_url: get(row, "return_url")?,
        created_at: UnixMillis(get(row, "created_at")?),
        updated_at: UnixMillis(get(row, "updated_at")?),
        expires_at: UnixMillis(get(row, "expires_at")?),
        version: get_count(row, "version")?,
    })
}
