-- Instants are integer milliseconds UTC. Words are those of semantics: a CHECK keeps each column to its words.

-- Running taskrun processes. A row outlives its process only until somebody proves the process dead and clears up after it.
CREATE TABLE processes (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  pid           INTEGER NOT NULL,
  once          INTEGER NOT NULL CHECK (once IN (0, 1)),
  record        TEXT    NOT NULL,
  -- Somebody locked its record: its open runs are orphans.
  dead          INTEGER NOT NULL DEFAULT 0 CHECK (dead IN (0, 1)),
  started_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE instances (
  name              TEXT    PRIMARY KEY,
  -- NULL: never registered; only a start by hand named it.
  schedule          TEXT,
  absent            INTEGER NOT NULL DEFAULT 0 CHECK (absent IN (0, 1)),
  first_seen_ms     INTEGER NOT NULL,
  last_end_ms       INTEGER,
  -- The last fire time judged.
  watermark_ms      INTEGER,
  -- Of the newest run that was admitted; 0 before the first.
  generation        INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
  -- A write under a lower generation is refused.
  floor             INTEGER NOT NULL DEFAULT 0 CHECK (floor BETWEEN 0 AND generation + 1),
  superseded_in_row INTEGER NOT NULL DEFAULT 0 CHECK (superseded_in_row >= 0)
) STRICT, WITHOUT ROWID;

-- One row for every due instant: a run, or a skip (adjacent equal skips share a row).
CREATE TABLE runs (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  instance      TEXT    NOT NULL REFERENCES instances (name),
  task          TEXT    NOT NULL GENERATED ALWAYS AS (substr(instance, 1, instr(instance || '@', '@') - 1)) VIRTUAL,
  fire_at_ms    INTEGER NOT NULL,
  trigger       TEXT    NOT NULL CHECK (trigger IN ('schedule', 'catch_up', 'manual', 'api')),
  dry           INTEGER NOT NULL DEFAULT 0 CHECK (dry IN (0, 1)),
  state         TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'backoff', 'ended', 'skipped')),
  -- NULL: it waits for named locks, is a skip, or is dry.
  generation    INTEGER CHECK (generation > 0),
  -- Whose it is. NULL: nobody's, as it is over or was set aside. Stays on a run that somebody else closed, until its owner has heard of it.
  process       INTEGER REFERENCES processes (id),
  attempts      INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  stop          TEXT    CHECK (stop IN ('superseded', 'cancelled', 'shutdown', 'deadline', 'fenced')),
  stop_by       INTEGER CHECK ((stop_by IS NULL) = (stop IS NOT 'superseded')),
  run_end       TEXT    CHECK (run_end IN ('succeeded', 'failed', 'timed_out', 'superseded', 'cancelled', 'lost')),
  superseded_by INTEGER,
  reason        TEXT    CHECK (reason IN ('outside_hours', 'calendar', 'overlap', 'lock_busy', 'misfire', 'paused', 'needs_unmet', 'parked')),
  count         INTEGER CHECK (count > 0),
  at_least      INTEGER CHECK (at_least IN (0, 1)),
  last_at_ms    INTEGER,
  started_at_ms INTEGER,
  ended_at_ms   INTEGER,
  retry_at_ms   INTEGER,
  text          TEXT,
  CHECK ((run_end IS NOT NULL) = (state = 'ended')),
  CHECK ((state IN ('ended', 'skipped')) = (ended_at_ms IS NOT NULL)),
  CHECK ((retry_at_ms IS NOT NULL) = (state = 'backoff')),
  CHECK (state NOT IN ('running', 'backoff') OR generation IS NOT NULL),
  CHECK (iif(state = 'skipped', reason IS NOT NULL AND count IS NOT NULL AND at_least IS NOT NULL AND last_at_ms IS NOT NULL,
    reason IS NULL AND count IS NULL AND at_least IS NULL AND last_at_ms IS NULL))
) STRICT;

-- An instant of the schedule becomes a run once, ever, whatever the clock does.
CREATE UNIQUE INDEX runs_fire ON runs (instance, fire_at_ms)
  WHERE trigger IN ('schedule', 'catch_up') AND state <> 'skipped' AND dry = 0;
-- The id is the last column of every index, so these give the history newest first.
CREATE INDEX runs_instance ON runs (instance);
CREATE INDEX runs_task ON runs (task);
CREATE INDEX runs_bad ON runs (id) WHERE run_end IN ('failed', 'timed_out', 'lost');
CREATE INDEX runs_open ON runs (instance) WHERE state IN ('waiting', 'running', 'backoff');
CREATE INDEX runs_process ON runs (process) WHERE process IS NOT NULL;

CREATE TABLE attempts (
  run           INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  attempt       INTEGER NOT NULL CHECK (attempt > 0),
  started_at_ms INTEGER NOT NULL,
  ended_at_ms   INTEGER,
  outcome       TEXT    CHECK (outcome IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'panicked', 'lost')),
  text          TEXT,
  PRIMARY KEY (run, attempt),
  CHECK ((outcome IS NULL) = (ended_at_ms IS NULL))
) STRICT, WITHOUT ROWID;

-- Which open runs have a claim on which named lock. The claims on a lock are always of one instance: a newcomer claims beside the run that ends
-- for it, and has the lock alone when that one's claims go with its end.
CREATE TABLE locks (
  name TEXT    NOT NULL,
  run  INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  PRIMARY KEY (name, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX locks_run ON locks (run);

-- Child process groups, so that they can be killed when their process died without doing so.
CREATE TABLE children (
  run        INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  pgid       INTEGER NOT NULL,
  start_time INTEGER NOT NULL,
  boot_id    TEXT    NOT NULL,
  process    INTEGER REFERENCES processes (id) ON DELETE CASCADE,
  PRIMARY KEY (run, pgid)
) STRICT, WITHOUT ROWID;
CREATE INDEX children_process ON children (process);

CREATE TABLE pauses (
  name     TEXT    PRIMARY KEY,
  until_ms INTEGER,
  reason   TEXT,
  since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
