-- An attempt may end as not yet: nothing failed, but a limit is used up. It is no try.
CREATE TABLE attempts_new (
  run           INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  attempt       INTEGER NOT NULL CHECK (attempt > 0),
  started_at_ms INTEGER NOT NULL,
  ended_at_ms   INTEGER,
  outcome       TEXT    CHECK (outcome IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'panicked', 'lost', 'not_yet')),
  text          TEXT,
  PRIMARY KEY (run, attempt),
  CHECK ((outcome IS NULL) = (ended_at_ms IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO attempts_new SELECT run, attempt, started_at_ms, ended_at_ms, outcome, text FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_new RENAME TO attempts;
