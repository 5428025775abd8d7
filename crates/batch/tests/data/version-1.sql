-- A database as version 1 made it, with a file and an open batch of one line.
CREATE TABLE files (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, purpose TEXT NOT NULL, created INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE batches (
    id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, input TEXT NOT NULL, metadata TEXT, status TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER NOT NULL, cancelling INTEGER, ended INTEGER, output TEXT, errors TEXT, problem TEXT
) STRICT;
CREATE TABLE lines (
    batch TEXT NOT NULL REFERENCES batches (id) ON DELETE CASCADE, line INTEGER NOT NULL, custom_id TEXT NOT NULL,
    body TEXT NOT NULL, succeeded INTEGER, answer TEXT, PRIMARY KEY (batch, line)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO files VALUES ('f', 'old.jsonl', 'batch', 3, x'613a62');
INSERT INTO batches (id, endpoint, input, status, created, expires) VALUES ('b', '/v1/x', 'f', 'in_progress', 3, 99);
INSERT INTO lines (batch, line, custom_id, body) VALUES ('b', 0, 'ask', '{}');
