-- Tasks of a few users in a few projects, the same on each run. Parameters: {tasks}, {projects}, {users}; task n is in project
-- n modulo {projects}, which belongs to user n modulo {users}. Ids are numbered: see `script::Kind`.
SELECT setseed(0.25);
INSERT INTO users SELECT {user}, 'user-' || n || '@example.com', 'User ' || n, 'x', '2024-01-01Z'
    FROM generate_series(0, {users} - 1) n;
INSERT INTO sessions SELECT {session}, {user}, 0, now(), now(), now() + interval '30 days', NULL
    FROM generate_series(0, {users} - 1) n;
INSERT INTO projects SELECT {project}, 'Project ' || n, NULL, NULL, {owner}, '2024-01-01Z', '2024-01-01Z', NULL
    FROM generate_series(0, {projects} - 1) n;
INSERT INTO project_members SELECT {owner}, {project}, 'owner', '2024-01-01Z' FROM generate_series(0, {projects} - 1) n;
-- Colleagues who only read: so many memberships that nobody would look through all of them for one.
INSERT INTO users SELECT {user}, 'colleague-' || n || '@example.com', 'Colleague ' || n, 'x', '2024-01-01Z'
    FROM generate_series(1000, 1999) n;
INSERT INTO project_members SELECT {colleague}, {project}, 'viewer', '2024-01-01Z'
    FROM generate_series(0, {projects} - 1) n, generate_series(0, 59) m;

-- A year of tasks. Words are drawn as people use them: few very often, most hardly ever.
INSERT INTO tasks (id, project_id, parent_id, title, description, status, priority, labels, assignee_id, due_at, completed_at,
    created_by, created_at, updated_at, version, deleted_at)
SELECT {task}, {project_of_task}, NULL,
    (SELECT string_agg('word' || floor(exp(random() * ln(20000)))::int, ' ') FROM generate_series(1, 5 + n * 0)),
    (SELECT string_agg('text' || floor(exp(random() * ln(20000)))::int, ' ') FROM generate_series(1, 12 + n * 0)),
    (ARRAY['todo', 'todo', 'in_progress', 'blocked', 'done', 'done', 'done', 'done', 'cancelled'])[1 + floor(random() * 9)::int],
    floor(random() * 4)::int, ARRAY[(ARRAY['bug', 'feature', 'chore'])[1 + floor(random() * 3)::int], 'team-' || n % 7],
    CASE WHEN random() < 0.7 THEN {owner_of_task} END,
    CASE WHEN random() < 0.6 THEN created_at + make_interval(secs => 3600 + random() * 5184000) END,
    NULL, {owner_of_task}, created_at, created_at, 1, NULL
FROM generate_series(0, {tasks} - 1) n,
    LATERAL (SELECT timestamptz '2025-11-01Z' + make_interval(secs => n * 31536000.0 / {tasks}) AS created_at) made;
