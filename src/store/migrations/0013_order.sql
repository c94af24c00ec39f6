-- What follows a success, and what a task needs to have ended: new words in `runs`, which has to be built anew for them.

-- Fires that a success asked for and that have no answer yet. A row comes with the end of its cause and goes with its answer.
CREATE TABLE follow_ups (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  instance TEXT    NOT NULL,
  -- The run that succeeded. It may be forgotten before its follow-up is judged.
  cause    INTEGER NOT NULL,
  at_ms    INTEGER NOT NULL,
  UNIQUE (cause, instance)
) STRICT;

-- What hangs on the rows of `runs` would go with the table, so it is kept aside.
CREATE TABLE attempts_kept AS SELECT * FROM attempts;
CREATE TABLE locks_kept AS SELECT * FROM locks;
CREATE TABLE children_kept AS SELECT * FROM children;
DELETE FROM attempts;
DELETE FROM locks;
DELETE FROM children;
CREATE TABLE runs_kept AS SELECT id, instance, fire_at_ms, trigger, dry, state, generation, process, attempts, stop, stop_by, run_end, superseded_by,
  reason, count, at_least, last_at_ms, started_at_ms, ended_at_ms, retry_at_ms, text FROM runs;
DROP TABLE attempts;
DROP TABLE locks;
DROP TABLE children;
CREATE TABLE runs_seq AS SELECT seq FROM sqlite_sequence WHERE name = 'runs';
DROP TABLE runs;
CREATE TABLE runs (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  instance      TEXT    NOT NULL REFERENCES instances (name),
  task          TEXT    NOT NULL GENERATED ALWAYS AS (substr(instance, 1, instr(instance || '@', '@') - 1)) VIRTUAL,
  fire_at_ms    INTEGER NOT NULL,
  trigger       TEXT    NOT NULL CHECK (trigger IN ('schedule', 'catch_up', 'manual', 'api', 'after_success')),
  -- The run whose success asked for this one.
  cause         INTEGER CHECK ((cause IS NULL) = (trigger <> 'after_success')),
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
  reason        TEXT    CHECK (reason IN
    ('outside_hours', 'calendar', 'overlap', 'lock_busy', 'misfire', 'paused', 'needs_unmet', 'parked', 'disabled')),
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
INSERT INTO runs (id, instance, fire_at_ms, trigger, dry, state, generation, process, attempts, stop, stop_by, run_end, superseded_by,
    reason, count, at_least, last_at_ms, started_at_ms, ended_at_ms, retry_at_ms, text)
  SELECT * FROM runs_kept;
-- Numbers are never given twice, even if the newest row is gone.
DELETE FROM sqlite_sequence WHERE name = 'runs';
INSERT INTO sqlite_sequence (name, seq) SELECT 'runs', seq FROM runs_seq;

-- An instant of the schedule becomes a run once, ever, whatever the clock does.
CREATE UNIQUE INDEX runs_fire ON runs (instance, fire_at_ms)
  WHERE trigger IN ('schedule', 'catch_up') AND state <> 'skipped' AND dry = 0;
-- The id is the last column of every index, so these give the history newest first.
CREATE INDEX runs_instance ON runs (instance);
CREATE INDEX runs_task ON runs (task);
CREATE INDEX runs_bad ON runs (id) WHERE run_end IN ('failed', 'timed_out', 'lost');
CREATE INDEX runs_open ON runs (instance) WHERE state IN ('waiting', 'running', 'backoff');
CREATE INDEX runs_process ON runs (process) WHERE process IS NOT NULL;
-- Ends of their own: what other tasks need.
CREATE INDEX runs_own_end ON runs (instance) WHERE run_end IS NOT NULL AND run_end <> 'superseded' AND dry = 0;

CREATE TABLE attempts (
  run           INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  attempt       INTEGER NOT NULL CHECK (attempt > 0),
  started_at_ms INTEGER NOT NULL,
  ended_at_ms   INTEGER,
  outcome       TEXT    CHECK (outcome IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'panicked', 'lost', 'not_yet')),
  text          TEXT,
  PRIMARY KEY (run, attempt),
  CHECK ((outcome IS NULL) = (ended_at_ms IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO attempts SELECT * FROM attempts_kept;

CREATE TABLE locks (
  name TEXT    NOT NULL,
  run  INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  PRIMARY KEY (name, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX locks_run ON locks (run);
INSERT INTO locks SELECT * FROM locks_kept;

CREATE TABLE children (
  run        INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  pgid       INTEGER NOT NULL,
  start_time INTEGER NOT NULL,
  boot_id    TEXT    NOT NULL,
  process    INTEGER REFERENCES processes (id) ON DELETE CASCADE,
  PRIMARY KEY (run, pgid)
) STRICT, WITHOUT ROWID;
CREATE INDEX children_process ON children (process);
INSERT INTO children SELECT * FROM children_kept;

DROP TABLE attempts_kept;
DROP TABLE locks_kept;
DROP TABLE children_kept;
DROP TABLE runs_kept;
DROP TABLE runs_seq;
