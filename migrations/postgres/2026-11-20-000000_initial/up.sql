-- The schema on PostgreSQL 15 and later. Its twin stands in migrations/sqlite; both are embedded in the binary.

-- Lets one GIN index lead with the project, so that a search costs what the project holds and not what the table holds.
CREATE EXTENSION IF NOT EXISTS btree_gin;

CREATE TABLE users (
    id            uuid        PRIMARY KEY,
    email         text        NOT NULL UNIQUE, -- lower case, trimmed: the service normalises it
    name          text        NOT NULL,
    password_hash text        NOT NULL,        -- Argon2id, PHC string
    created_at    timestamptz NOT NULL
);

CREATE TABLE projects (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL,
    description text,
    personal_of uuid        UNIQUE REFERENCES users (id), -- the user whose personal project this is
    created_by  uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deleted_at  timestamptz
);
CREATE INDEX projects_trash ON projects (deleted_at) WHERE deleted_at IS NOT NULL;

-- Every permission is a row here. Deleting a project deletes its rows, which hides everything in it at once.
CREATE TABLE project_members (
    user_id    uuid        NOT NULL REFERENCES users (id),
    project_id uuid        NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role       text        NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, project_id)
);
CREATE INDEX project_members_by_project ON project_members (project_id, user_id);

-- One row for each login. A refresh token names its session and its generation; the row says which generation is current.
CREATE TABLE sessions (
    id         uuid        PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users (id),
    generation integer     NOT NULL,
    created_at timestamptz NOT NULL,
    rotated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- `created_by` and the activity's `actor_id` carry no foreign key: users are never deleted, and a key check on each write
-- would lock the user's row for nothing.
CREATE TABLE tasks (
    id           uuid        PRIMARY KEY,
    project_id   uuid        NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    parent_id    uuid        REFERENCES tasks (id) ON DELETE SET NULL,
    title        text        NOT NULL,
    description  text,
    status       text        NOT NULL CHECK (status IN ('todo', 'in_progress', 'blocked', 'done', 'cancelled')),
    priority     smallint    NOT NULL CHECK (priority BETWEEN 0 AND 3), -- low, medium, high, urgent: sorts by urgency
    labels       text[]      NOT NULL,
    assignee_id  uuid        REFERENCES users (id),
    due_at       timestamptz,
    completed_at timestamptz,
    created_by   uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint      NOT NULL,
    deleted_at   timestamptz,
    -- A sort key must not be null: a task without a due date sorts after every date the API accepts.
    due_key      timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(due_at, timestamptz '9999-01-01 00:00:00+00')) STORED,
    -- Punctuation becomes space, so that "deploy/prod" is found by "prod", as it is on SQLite.
    search       tsvector    NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', translate(title, '/.-_@:&=?#+~%<>''', '                ')), 'A') ||
        setweight(to_tsvector('simple', translate(coalesce(description, ''), '/.-_@:&=?#+~%<>''', '                ')), 'B')
    ) STORED
);
-- One index for each order a page can have, alone and behind a status; all of them lead with the project.
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
CREATE INDEX tasks_by_label           ON tasks USING gin (project_id, labels)                 WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_word            ON tasks USING gin (project_id, search)                 WHERE deleted_at IS NULL;
CREATE INDEX tasks_trash              ON tasks (deleted_at)                                   WHERE deleted_at IS NOT NULL;

CREATE TABLE task_activity (
    task_id    uuid        NOT NULL,
    id         uuid        NOT NULL,
    actor_id   uuid        NOT NULL,
    action     text        NOT NULL CHECK (action IN ('created', 'updated', 'deleted', 'restored')),
    changes    jsonb       NOT NULL, -- {"field": {"from": …, "to": …}}
    created_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, id)
);

-- The answer to a request that carried an Idempotency-Key, written in the transaction of its effect.
CREATE TABLE idempotency_keys (
    user_id     uuid        NOT NULL,
    route       text        NOT NULL,
    key         text        NOT NULL,
    fingerprint text        NOT NULL, -- SHA-256 of the canonical body, base64url
    response    text,                 -- {"status": …, "location": …, "etag": …, "body": "…"}
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
