"""The tables. Each step brings a database to the next version; a released step is never edited.

A step is statements that each end in ";" at the end of a line.
"""

_FIRST = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    estimated_finish INTEGER,
    status TEXT NOT NULL,
    is_paused INTEGER NOT NULL DEFAULT 0,
    base TEXT NOT NULL,
    method TEXT NOT NULL,
    hyperparameters TEXT NOT NULL,      -- JSON, as asked for until `started` fills in `auto`
    seed INTEGER NOT NULL,
    suffix TEXT NOT NULL,
    metadata TEXT NOT NULL,             -- JSON
    training_file TEXT NOT NULL,
    validation_file TEXT,
    error TEXT,                         -- JSON
    fine_tuned_model TEXT,
    trained_tokens INTEGER,
    result_file TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    level TEXT NOT NULL,
    type TEXT NOT NULL,
    message TEXT NOT NULL,
    data TEXT                           -- JSON
);
CREATE INDEX events_by_job ON events (job_id, seq);
-- Tuned models, and the checkpoints on the way to them (those have a step).
CREATE TABLE models (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL,
    base TEXT NOT NULL,
    path TEXT NOT NULL,                 -- folder of the adapter, relative to the data folder
    created_at INTEGER NOT NULL,
    step INTEGER,
    metrics TEXT                        -- JSON
);
CREATE INDEX models_by_job ON models (job_id, seq);
"""

_KEYS_AND_WEBHOOKS = """
CREATE TABLE keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,          -- SHA-256; the key itself is shown once and kept nowhere
    hint TEXT NOT NULL,                 -- its last letters, to tell one key from another
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
);
-- The outbox of webhooks: a job's end that is to be told.
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,
    ended_at INTEGER                    -- delivered, or given up
);
CREATE INDEX deliveries_by_time ON deliveries (next_at) WHERE ended_at IS NULL;
"""

# What only the API of 2023 asks for, as JSON: see `fine_tunes`. NULL in a job of today's.
_FINE_TUNES = "ALTER TABLE jobs ADD COLUMN fine_tune TEXT;"

STEPS = (_FIRST, _KEYS_AND_WEBHOOKS, _FINE_TUNES)
