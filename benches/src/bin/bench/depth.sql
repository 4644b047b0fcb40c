-- Tasks of one user in projects of {tasks_of_project} each. Parameters: {tasks}, {projects}, {user}, {project}, {task}.
INSERT INTO users VALUES ({user}, 'reader@example.com', 'Reader', 'x', '2024-01-01Z');
INSERT INTO projects SELECT {project}, 'Project ' || n, NULL, NULL, {user}, '2024-01-01Z', '2024-01-01Z', NULL
    FROM generate_series(0, {projects} - 1) n;
INSERT INTO project_members SELECT {user}, {project}, 'owner', '2024-01-01Z' FROM generate_series(0, {projects} - 1) n;
SET session_replication_role = replica; -- no check of a foreign key for each row: they hold
INSERT INTO tasks (id, project_id, parent_id, title, description, status, priority, labels, assignee_id, due_at, completed_at,
    created_by, created_at, updated_at, version, deleted_at)
SELECT {task}, {project_of_task}, NULL, 'Task ' || n, 'Two lines that say what is to be done.',
    (ARRAY['todo', 'in_progress', 'blocked', 'done', 'done'])[1 + n % 5], n % 4, ARRAY['team-' || n % 7],
    CASE WHEN n % 3 > 0 THEN {user} END, CASE WHEN n % 2 = 0 THEN created_at + interval '14 days' END,
    NULL, {user}, created_at, created_at, 1, NULL
FROM generate_series(0::bigint, {tasks} - 1) n,
    LATERAL (SELECT timestamptz '2023-11-01Z' + make_interval(secs => n * 94608000.0 / {tasks}) AS created_at) made;
