-- Whatever is pending, and whatever the index holds.
INSERT INTO tasks_text (tasks_text) VALUES ('rebuild');

DROP TRIGGER tasks_text_insert;
DROP TRIGGER tasks_text_delete;
DROP TRIGGER tasks_text_update;
DROP TABLE tasks_text_pending;

CREATE TRIGGER tasks_text_insert AFTER INSERT ON tasks BEGIN
    INSERT INTO tasks_text (rowid, title, description, project_key)
    VALUES (new.number, new.title, new.description, new.project_key);
END;
CREATE TRIGGER tasks_text_delete AFTER DELETE ON tasks BEGIN
    INSERT INTO tasks_text (tasks_text, rowid, title, description, project_key)
    VALUES ('delete', old.number, old.title, old.description, old.project_key);
END;
CREATE TRIGGER tasks_text_update AFTER UPDATE OF title, description, project_id ON tasks
WHEN old.title IS NOT new.title OR old.description IS NOT new.description OR old.project_id IS NOT new.project_id BEGIN
    INSERT INTO tasks_text (tasks_text, rowid, title, description, project_key)
    VALUES ('delete', old.number, old.title, old.description, old.project_key);
    INSERT INTO tasks_text (rowid, title, description, project_key)
    VALUES (new.number, new.title, new.description, new.project_key);
END;
