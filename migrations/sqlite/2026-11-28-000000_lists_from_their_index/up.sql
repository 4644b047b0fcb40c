-- A list reads which tasks belong to it, and in which version, off its index alone: a project's tasks lie on as many pages of the
-- table as there are, among those of all others. `deleted_at`, always NULL here, is a column because the condition names it;
-- `labels` is one for the filter, which looks at each task. The indexes in the order of changes are written with each change anyway.

DROP INDEX tasks_by_created;
DROP INDEX tasks_by_updated;
DROP INDEX tasks_by_status_created;
DROP INDEX tasks_by_status_updated;
CREATE INDEX tasks_by_created        ON tasks (project_id, created_at, id, version, deleted_at, labels)             WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_updated        ON tasks (project_id, updated_at, id, created_at, version, deleted_at)         WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_created ON tasks (project_id, status, created_at, id, version, deleted_at)             WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_status_updated ON tasks (project_id, status, updated_at, id, created_at, version, deleted_at) WHERE deleted_at IS NULL;
