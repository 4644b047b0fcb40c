DROP INDEX tasks_by_created;
DROP INDEX tasks_by_updated;
DROP INDEX tasks_by_status_created;
DROP INDEX tasks_by_status_updated;
CREATE INDEX tasks_by_created        ON tasks (project_id, created_at, id)         WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_updated        ON tasks (project_id, updated_at, id)         WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_created ON tasks (project_id, status, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_updated ON tasks (project_id, status, updated_at, id) WHERE deleted_at IS NULL;
