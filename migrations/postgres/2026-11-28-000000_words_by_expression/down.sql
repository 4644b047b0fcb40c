-- As up.sql, the other way: a table that has tasks stays as it is.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM tasks) THEN
        ALTER TABLE tasks DROP COLUMN search;
        ALTER TABLE tasks ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
            setweight(to_tsvector('simple', translate(title, '/.-_@:&=?#+~%<>''', '                ')), 'A') ||
            setweight(to_tsvector('simple', translate(coalesce(description, ''), '/.-_@:&=?#+~%<>''', '                ')), 'B')
        ) STORED;
        CREATE INDEX tasks_by_word ON tasks USING gin (project_id, search) WHERE deleted_at IS NULL;
    END IF;
END $$;
