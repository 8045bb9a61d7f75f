-- The first form of the store. Times are milliseconds since 1970. What only this program reads in whole is kept as
-- Protocol Buffers; what is asked for has a column. (BLOB and AUTOINCREMENT are all that PostgreSQL spells otherwise.)

CREATE TABLE workspaces (
    id               TEXT    NOT NULL PRIMARY KEY,
    name             TEXT    NOT NULL,
    owner            TEXT    NOT NULL,
    created_ms       BIGINT  NOT NULL,
    deleted          BOOLEAN NOT NULL,
    forgotten        BOOLEAN NOT NULL,
    revision         BIGINT  NOT NULL,
    node             TEXT    NOT NULL,
    commit_id        TEXT    NOT NULL,
    branch           TEXT    NOT NULL,
    content_ready    BOOLEAN NOT NULL,
    init_done        BOOLEAN NOT NULL,
    last_activity_ms BIGINT  NOT NULL,
    warnings         TEXT    NOT NULL,
    request          BLOB    NOT NULL,
    instance_id      TEXT    NOT NULL
);
-- A name is free again when its workspace is deleted.
CREATE UNIQUE INDEX workspaces_name ON workspaces (name) WHERE NOT deleted;

CREATE TABLE instances (
    id                TEXT   NOT NULL PRIMARY KEY,
    workspace_id      TEXT   NOT NULL REFERENCES workspaces (id),
    generation        BIGINT NOT NULL,
    created_ms        BIGINT NOT NULL,
    started_ms        BIGINT NOT NULL,
    stopped_ms        BIGINT NOT NULL,
    phase             TEXT   NOT NULL,
    desired           TEXT   NOT NULL,
    stop_reason       TEXT   NOT NULL,
    stop_conclusion   INTEGER NOT NULL,
    conclusion        INTEGER NOT NULL,
    conclusion_reason TEXT   NOT NULL,
    spec              BLOB,
    status            BLOB   NOT NULL,
    own               BLOB   NOT NULL
);
CREATE INDEX instances_workspace ON instances (workspace_id);

-- Chosen by the owner; outlives instances.
CREATE TABLE port_visibility (
    workspace_id TEXT    NOT NULL REFERENCES workspaces (id),
    port         INTEGER NOT NULL,
    visibility   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, port)
);

-- Append-only.
CREATE TABLE events (
    number         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    time_ms        BIGINT  NOT NULL,
    workspace_id   TEXT    NOT NULL,
    workspace_name TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    message        TEXT    NOT NULL,
    actor          TEXT    NOT NULL
);
CREATE INDEX events_workspace ON events (workspace_id, number);

-- Idempotency: what was asked under an id, as a hash, and of which workspace.
CREATE TABLE requests (
    request_id   TEXT   NOT NULL PRIMARY KEY,
    method       TEXT   NOT NULL,
    arguments    TEXT   NOT NULL,
    workspace_id TEXT   NOT NULL,
    created_ms   BIGINT NOT NULL
);

-- Tokens are kept as BLAKE3 hashes only.
CREATE TABLE codes (
    hash         TEXT   NOT NULL PRIMARY KEY,
    workspace_id TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE TABLE sessions (
    hash         TEXT   NOT NULL PRIMARY KEY,
    workspace_id TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    expires_ms   BIGINT NOT NULL
);

CREATE TABLE sources (
    digest     TEXT   NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE nodes (
    id           TEXT   NOT NULL PRIMARY KEY,
    version      TEXT   NOT NULL,
    boot_id      TEXT   NOT NULL,
    last_seen_ms BIGINT NOT NULL
);
