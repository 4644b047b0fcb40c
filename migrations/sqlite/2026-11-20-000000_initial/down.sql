-- Takes the schema away, data included.
DROP TABLE idempotency_keys;
DROP TABLE task_activity;
DROP TABLE tasks_text;
DROP TABLE tasks;
DROP TABLE sessions;
DROP TABLE project_members;
DROP TABLE projects;
DROP TABLE users;
