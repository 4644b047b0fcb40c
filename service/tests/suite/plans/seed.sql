-- Tasks with the skew of a real tenant, the same on each run. Parameters: {tasks}, {user} (whose lists are read).
SELECT setseed(0.25);

CREATE FUNCTION pg_temp.uuid7(at timestamptz, n bigint) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')
        || '8' || substr(md5(n::text), 1, 15))::uuid
$$;
CREATE FUNCTION pg_temp.numbered(n bigint) RETURNS uuid LANGUAGE sql AS $$
    SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
$$;

-- 60 colleagues; 30 projects, of which the first 10 are the reader's, too. Project 1 is the big one.
INSERT INTO users SELECT pg_temp.numbered(n), 'colleague-' || n || '@example.com', 'Colleague ' || n, 'x', '2024-01-01Z'
    FROM generate_series(1, 60) n;
INSERT INTO projects SELECT pg_temp.numbered(1000 + n), 'Project ' || n, NULL, NULL, '{user}', '2024-01-01Z', '2024-01-01Z', NULL
    FROM generate_series(1, 30) n;
INSERT INTO project_members SELECT '{user}', pg_temp.numbered(1000 + n), 'owner', '2024-01-01Z' FROM generate_series(1, 10) n;
INSERT INTO project_members SELECT pg_temp.numbered(u), pg_temp.numbered(1000 + p), 'editor', '2024-01-01Z'
    FROM generate_series(1, 60) u, generate_series(1, 30) p WHERE p = 1 OR (u + p) % 6 = 0;

-- Three years of tasks. What is drawn twice is drawn here once.
CREATE TEMP TABLE drawn AS SELECT
    n,
    timestamptz '2023-11-20Z' + make_interval(secs => (n - 1 + random()) * 94608000.0 / {tasks}) AS created_at,
    CASE WHEN random() < 0.8 THEN 1 ELSE 2 + floor(random() * 29)::int END AS project,
    CASE WHEN n > {tasks} * 0.9 THEN random() ELSE random() * 0.85 END AS stage, -- the newest tenth is open more often
    random() AS rank, random() AS assigned, exp(random() * ln(60)) AS assignee, random() AS due, random() AS due_in, random() AS tree
    FROM generate_series(1, {tasks}) n;

INSERT INTO tasks (id, project_id, parent_id, title, description, status, priority, labels, assignee_id, due_at, completed_at,
    created_by, created_at, updated_at, version, deleted_at)
SELECT
    pg_temp.uuid7(created_at, n), pg_temp.numbered(1000 + project), NULL,
    (SELECT string_agg('word' || floor(exp(random() * ln(20000)))::int, ' ') FROM generate_series(1, 8 + n * 0)),
    (SELECT string_agg('text' || floor(exp(random() * ln(20000)))::int, ' ') FROM generate_series(1, 10 + n * 0)),
    CASE WHEN stage < 0.80 THEN 'done' WHEN stage < 0.84 THEN 'cancelled' WHEN stage < 0.85 THEN 'blocked'
        WHEN stage < 0.90 THEN 'in_progress' ELSE 'todo' END,
    CASE WHEN rank < 0.60 THEN 1 WHEN rank < 0.85 THEN 0 WHEN rank < 0.98 THEN 2 ELSE 3 END,
    (SELECT coalesce(array_agg(l), '{}') FROM unnest(ARRAY['bug', 'feature', 'security', 'audit']) WITH ORDINALITY u(l, o)
        WHERE random() < (ARRAY[0.3, 0.2, 0.01, 0.0005])[o] + n * 0),
    CASE WHEN assigned < 0.7 THEN pg_temp.numbered(floor(assignee)::int) END,
    -- Due a while after it was made: due dates and creation go together, which no statistics of single columns know.
    CASE WHEN due < 0.6 THEN created_at + make_interval(secs => 3600 + due_in * 5184000) END,
    CASE WHEN stage < 0.80 THEN created_at + make_interval(secs => due_in * 2592000) END,
    pg_temp.numbered(floor(assignee)::int), created_at, created_at + make_interval(secs => due_in * due_in * 7776000),
    1 + floor(due_in * 5)::int, CASE WHEN tree > 0.98 THEN timestamptz '2026-11-20Z' END
FROM drawn;

-- A tenth has a parent among the older tasks of its project: one epic with a great many, others with a few.
CREATE TEMP TABLE placed AS SELECT pg_temp.uuid7(created_at, n) AS id, project, tree,
    row_number() OVER (PARTITION BY project ORDER BY n) AS place FROM drawn;
CREATE INDEX ON placed (project, place);
UPDATE tasks t SET parent_id = parent.id
FROM placed child JOIN placed parent ON parent.project = child.project
    AND parent.place = CASE WHEN child.tree < 0.01 THEN 1 ELSE child.place / 50 * 10 + 2 END
WHERE t.id = child.id AND child.tree < 0.1 AND child.place > parent.place;
