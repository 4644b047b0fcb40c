-- Takes the schema away, data included. The extension stays: others in this database may use it.
DROP TABLE idempotency_keys;
DROP TABLE task_activity;
DROP TABLE tasks;
DROP TABLE sessions;
DROP TABLE project_members;
DROP TABLE projects;
DROP TABLE users;
