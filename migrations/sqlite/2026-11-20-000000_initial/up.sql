-- The schema on SQLite, twin of the one in migrations/postgres. Ids are 16 bytes, times are microseconds since 1970 UTC.

CREATE TABLE users (
    id            BLOB    PRIMARY KEY NOT NULL,
    email         TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id          BLOB    PRIMARY KEY NOT NULL,
    name        TEXT    NOT NULL,
    description TEXT,
    personal_of BLOB    UNIQUE REFERENCES users (id),
    created_by  BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleted_at  INTEGER
) STRICT;
CREATE INDEX projects_trash ON projects (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE project_members (
    user_id    BLOB    NOT NULL REFERENCES users (id),
    project_id BLOB    NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role       TEXT    NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, project_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_members_by_project ON project_members (project_id, user_id);

CREATE TABLE sessions (
    id         BLOB    PRIMARY KEY NOT NULL,
    user_id    BLOB    NOT NULL REFERENCES users (id),
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE tasks (
    number       INTEGER PRIMARY KEY, -- the row's place, which the full-text index points at
    id           BLOB    NOT NULL UNIQUE,
    project_id   BLOB    NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    parent_id    BLOB    REFERENCES tasks (id) ON DELETE SET NULL,
    title        TEXT    NOT NULL,
    description  TEXT,
    status       TEXT    NOT NULL CHECK (status IN ('todo', 'in_progress', 'blocked', 'done', 'cancelled')),
    priority     INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
    labels       TEXT    NOT NULL CHECK (json_valid(labels)),
    assignee_id  BLOB    REFERENCES users (id),
    due_at       INTEGER,
    completed_at INTEGER,
    created_by   BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    deleted_at   INTEGER,
    due_key      INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(due_at, 253370764800000000)) VIRTUAL
) STRICT;
CREATE INDEX tasks_by_created         ON tasks (project_id, created_at, id)                   WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_updated         ON tasks (project_id, updated_at, id)                   WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_due             ON tasks (project_id, due_key, id)                      WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_priority        ON tasks (project_id, priority, created_at, id)         WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_created  ON tasks (project_id, status, created_at, id)           WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_updated  ON tasks (project_id, status, updated_at, id)           WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_due      ON tasks (project_id, status, due_key, id)              WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_priority ON tasks (project_id, status, priority, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_assignee        ON tasks (project_id, assignee_id, created_at, id)      WHERE deleted_at IS NULL AND assignee_id IS NOT NULL;
CREATE INDEX tasks_by_parent          ON tasks (parent_id, created_at, id)                    WHERE parent_id IS NOT NULL;
CREATE INDEX tasks_trash              ON tasks (deleted_at)                                   WHERE deleted_at IS NOT NULL;

-- Full text. The triggers keep it in the transaction of the write, so that one sees one's own writes at once.
CREATE VIRTUAL TABLE tasks_text USING fts5 (
    title, description, content = 'tasks', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 0'
);
CREATE TRIGGER tasks_text_insert AFTER INSERT ON tasks BEGIN
    INSERT INTO tasks_text (rowid, title, description) VALUES (new.number, new.title, new.description);
END;
CREATE TRIGGER tasks_text_delete AFTER DELETE ON tasks BEGIN
    INSERT INTO tasks_text (tasks_text, rowid, title, description) VALUES ('delete', old.number, old.title, old.description);
END;
CREATE TRIGGER tasks_text_update AFTER UPDATE OF title, description ON tasks
WHEN old.title IS NOT new.title OR old.description IS NOT new.description BEGIN
    INSERT INTO tasks_text (tasks_text, rowid, title, description) VALUES ('delete', old.number, old.title, old.description);
    INSERT INTO tasks_text (rowid, title, description) VALUES (new.number, new.title, new.description);
END;

CREATE TABLE task_activity (
    task_id    BLOB    NOT NULL,
    id         BLOB    NOT NULL,
    actor_id   BLOB    NOT NULL,
    action     TEXT    NOT NULL CHECK (action IN ('created', 'updated', 'deleted', 'restored')),
    changes    TEXT    NOT NULL CHECK (json_valid(changes)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (task_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    user_id     BLOB    NOT NULL,
    route       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    response    TEXT,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
