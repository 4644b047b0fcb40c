DROP TRIGGER tasks_text_insert;
DROP TRIGGER tasks_text_delete;
DROP TRIGGER tasks_text_update;
DROP TABLE tasks_text;
ALTER TABLE tasks DROP COLUMN project_key;

CREATE VIRTUAL TABLE tasks_text USING fts5 (
    title, description, content = 'tasks', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 0'
);
INSERT INTO tasks_text (tasks_text) VALUES ('rebuild');
CREATE TRIGGER tasks_text_insert AFTER INSERT ON tasks BEGIN
    INSERT INTO tasks_text (rowid, title, description) VALUES (new.number, new.title, new.description);
END;
CREATE TRIGGER tasks_text_delete AFTER DELETE ON tasks BEGIN
    INSERT INTO tasks_text (tasks_text, rowid, title, description) VALUES ('delete', old.number, old.title, old.description);
END;
CREATE TRIGGER tasks_text_update AFTER UPDATE OF title, description ON tasks
WHEN old.title IS NOT new.title OR old.description IS NOT new.description BEGIN
    INSERT INTO tasks_text (tasks_text, rowid, title, description) VALUES ('delete', old.number, old.title, old.description);
    INSERT INTO tasks_text (rowid, title, description) VALUES (new.number, new.title, new.description);
END;
