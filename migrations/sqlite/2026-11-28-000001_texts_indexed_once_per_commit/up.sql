-- Writes share commits, and the full-text index makes a segment of each statement that has a trigger, to merge it later: many small
-- ones for one commit. The triggers note what has changed; the service brings the index up to date once, before it commits.

-- Tasks whose texts have changed within the transaction, with those that the index still has of them. Empty after each commit.
CREATE TABLE tasks_text_pending (
    number      INTEGER PRIMARY KEY,
    indexed     INTEGER NOT NULL,
    title       TEXT,
    description TEXT,
    project_key TEXT
) STRICT;

DROP TRIGGER tasks_text_insert;
DROP TRIGGER tasks_text_delete;
DROP TRIGGER tasks_text_update;

CREATE TRIGGER tasks_text_insert AFTER INSERT ON tasks BEGIN
    INSERT INTO tasks_text_pending (number, indexed) VALUES (new.number, 0) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER tasks_text_delete AFTER DELETE ON tasks BEGIN
    INSERT INTO tasks_text_pending (number, indexed, title, description, project_key)
    VALUES (old.number, 1, old.title, old.description, old.project_key) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER tasks_text_update AFTER UPDATE OF title, description, project_id ON tasks
WHEN old.title IS NOT new.title OR old.description IS NOT new.description OR old.project_id IS NOT new.project_id BEGIN
    INSERT INTO tasks_text_pending (number, indexed, title, description, project_key)
    VALUES (old.number, 1, old.title, old.description, old.project_key) ON CONFLICT DO NOTHING;
END;
