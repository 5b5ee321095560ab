-- Times are milliseconds since 1970 UTC. Words (status, reason, stage…) are those of the contract.

CREATE TABLE verifications (
    id                TEXT    PRIMARY KEY,
    key_id            TEXT    NOT NULL,
    profile           TEXT    NOT NULL,
    number            TEXT    NOT NULL,
    calling_code      INTEGER,             -- NULL: an internal number
    country           TEXT,
    extension_digits  TEXT,
    extension_wait_ms INTEGER,
    method            TEXT    NOT NULL,
    code              TEXT,                -- gone once the verification has ended
    purpose           TEXT    NOT NULL,
    locale            TEXT,
    brand             TEXT,
    client_ref        TEXT,
    end_user_id       TEXT,
    end_user_ip       TEXT,
    callback_url      TEXT,
    subscription      INTEGER NOT NULL,
    tags              TEXT    NOT NULL,    -- JSON object
    message           TEXT    NOT NULL,    -- JSON object
    caller_id         TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    stage             TEXT    NOT NULL,
    status            TEXT    NOT NULL,
    reason            TEXT,                -- NULL while pending
    sequence          INTEGER NOT NULL,
    cancel_reason     TEXT,                -- asked for while a call was live
    ended_at          INTEGER,
    erased_at         INTEGER,
    CHECK ((reason IS NULL) = (status = 'pending'))
) STRICT;

-- One verification in progress per number; one that is being superseded no longer counts.
CREATE UNIQUE INDEX verifications_in_progress ON verifications (number)
    WHERE reason IS NULL AND cancel_reason IS NULL;
CREATE INDEX verifications_pending ON verifications (number) WHERE reason IS NULL;
CREATE INDEX verifications_ended ON verifications (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE attempts (
    id              TEXT    PRIMARY KEY,
    verification_id TEXT    NOT NULL REFERENCES verifications (id) ON DELETE CASCADE,
    number          INTEGER NOT NULL,     -- from 1 within the verification
    trunk           TEXT    NOT NULL,     -- '' until claimed
    call_id         TEXT,
    node            TEXT,
    stage           TEXT    NOT NULL,
    reason          TEXT,
    created_at      INTEGER NOT NULL,
    due_at          INTEGER,              -- NULL once claimed or ended
    dialed_at       INTEGER,
    decided_at      INTEGER,
    ended_at        INTEGER,
    live_number     TEXT,                 -- the number dialled, from the claim to the outcome
    report          TEXT    NOT NULL,     -- JSON
    UNIQUE (verification_id, number)
) STRICT;

CREATE INDEX attempts_due ON attempts (due_at) WHERE due_at IS NOT NULL;
-- One live call per number.
CREATE UNIQUE INDEX attempts_live ON attempts (live_number) WHERE live_number IS NOT NULL;
CREATE INDEX attempts_open ON attempts (node) WHERE node IS NOT NULL AND ended_at IS NULL;

CREATE TABLE events (
    verification_id TEXT    NOT NULL REFERENCES verifications (id) ON DELETE CASCADE,
    sequence        INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    kind            TEXT    NOT NULL,     -- created, stage, cancel, ended
    word            TEXT    NOT NULL,
    attempt         INTEGER NOT NULL,
    PRIMARY KEY (verification_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    position        INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    verification_id TEXT    REFERENCES verifications (id) ON DELETE CASCADE,
    profile         TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    progress        INTEGER NOT NULL,     -- 1: gives way to a later event
    sequence        INTEGER NOT NULL,
    url             TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    next_at         INTEGER NOT NULL,
    leased_until    INTEGER,
    tries           INTEGER NOT NULL DEFAULT 0,
    settled_at      INTEGER
) STRICT;

CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'pending';
CREATE INDEX outbox_of_verification ON outbox (verification_id, position);
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL;

CREATE TABLE webhook_tries (
    event_id    TEXT    NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,         -- from 1
    at          INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    status      INTEGER,
    error       TEXT,
    PRIMARY KEY (event_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE disabled_urls (
    url TEXT    PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key_id     TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    body_hash  BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    status     INTEGER,                   -- NULL: in flight
    location   TEXT,
    body       TEXT,
    PRIMARY KEY (key_id, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE usage (
    kind            TEXT    NOT NULL,
    subject         TEXT    NOT NULL,
    at              INTEGER NOT NULL,
    verification_id TEXT    NOT NULL,
    PRIMARY KEY (kind, subject, at, verification_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_age ON usage (at);

CREATE TABLE usage_days (
    day      INTEGER NOT NULL,            -- midnight UTC
    country  TEXT    NOT NULL,
    prefix   TEXT    NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0,
    answered INTEGER NOT NULL DEFAULT 0,
    approved INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (day, country, prefix)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id           TEXT    PRIMARY KEY,
    hash         BLOB    NOT NULL UNIQUE,
    label        TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,        -- JSON array
    profiles     TEXT    NOT NULL,        -- JSON array
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE TABLE enrollments (
    id              TEXT    PRIMARY KEY,
    token_hash      BLOB    NOT NULL UNIQUE,
    key_id          TEXT    NOT NULL,
    profile         TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    request_json    TEXT    NOT NULL,
    wizard_json     TEXT    NOT NULL,
    verification_id TEXT,
    return_url      TEXT,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;

CREATE INDEX enrollments_age ON enrollments (expires_at);

CREATE TABLE blocks (
    id         TEXT    PRIMARY KEY,
    kind       TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    note       TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE INDEX blocks_value ON blocks (kind, value);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_age ON audit (at);
