-- Durable work: what is to be done for an account, when, how far it is, and what became of it. A finished item stays as history.

CREATE TABLE queue (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  kind            TEXT    NOT NULL CHECK (kind <> ''),
  -- Whose work it is: an account's lane never waits for another's.
  platform        TEXT    NOT NULL,
  account         TEXT    NOT NULL,
  -- What it is done with: an upload's is an ASIN.
  subject         TEXT    NOT NULL CHECK (subject <> ''),
  state           TEXT    NOT NULL CHECK (state IN ('pending', 'uploading', 'success', 'failed', 'uncertain', 'review', 'on_hold', 'cancelled')),
  priority        INTEGER NOT NULL CHECK (priority BETWEEN 1 AND 20),
  scheduled_at_ms INTEGER NOT NULL,
  -- It was put back, and is not due again before then; NULL from then on.
  retry_at_ms     INTEGER CHECK (retry_at_ms IS NULL OR state = 'pending'),
  -- How often a worker took it, less those times that do not count.
  attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  -- The run that has it, until when at most.
  run             INTEGER CHECK ((run IS NOT NULL) = (state = 'uploading')),
  generation      INTEGER CHECK ((generation IS NULL) = (run IS NULL)),
  lease_until_ms  INTEGER CHECK ((lease_until_ms IS NULL) = (run IS NULL)),
  -- What a person wants of it once the worker is done.
  wish            TEXT    CHECK (wish IS NULL OR (wish IN ('cancelled', 'on_hold') AND state = 'uploading')),
  -- The instant whose day it counts for at the account's daily cap; NULL: it has taken nothing of any.
  counted_at_ms   INTEGER,
  -- The marketplace's number of what was made.
  item_id         TEXT    CHECK (item_id IS NOT NULL OR state <> 'success' OR kind <> 'upload'),
  -- A person has looked at it and let it go on.
  approved        INTEGER NOT NULL DEFAULT 0 CHECK (approved IN (0, 1)),
  error_code      TEXT    CHECK (error_code <> ''),
  error_text      TEXT    CHECK ((error_text IS NULL) = (error_code IS NULL)),
  created_at_ms   INTEGER NOT NULL,
  ended_at_ms     INTEGER CHECK ((ended_at_ms IS NOT NULL) = (state IN ('success', 'failed', 'cancelled')))
) STRICT;

-- Unique among open items only: what is over never stands in the way of another go.
CREATE UNIQUE INDEX queue_open ON queue (kind, platform, account, subject) WHERE state IN ('pending', 'uploading', 'uncertain', 'review', 'on_hold');
-- A claim reads these from their front and meets nothing on the way that it cannot take. With its last columns, which never differ, the first one
-- answers counts alone. The id is the last column of every other index.
CREATE INDEX queue_fresh ON queue (kind, platform, account, scheduled_at_ms, priority DESC, id, state, retry_at_ms, item_id) WHERE state = 'pending' AND retry_at_ms IS NULL AND item_id IS NULL;
CREATE INDEX queue_begun ON queue (kind, platform, account, scheduled_at_ms, priority DESC) WHERE state = 'pending' AND retry_at_ms IS NULL AND item_id IS NOT NULL;
CREATE INDEX queue_put_back ON queue (kind, platform, account, retry_at_ms) WHERE state = 'pending' AND retry_at_ms IS NOT NULL;
CREATE INDEX queue_counted ON queue (kind, platform, account, counted_at_ms) WHERE counted_at_ms IS NOT NULL;
-- For people.
CREATE INDEX queue_subject ON queue (subject);
CREATE INDEX queue_state ON queue (kind, state);
CREATE INDEX queue_lane ON queue (kind, platform, account, state);

-- The parts of an item's work, each written down before it is done and after.
CREATE TABLE queue_steps (
  item        INTEGER NOT NULL REFERENCES queue (id) ON DELETE CASCADE,
  step        TEXT    NOT NULL CHECK (step IN ('create', 'image')),
  -- Of an image, from 1; otherwise 0.
  number      INTEGER NOT NULL CHECK ((number > 0) = (step = 'image')),
  begun_at_ms INTEGER NOT NULL,
  done_at_ms  INTEGER,
  PRIMARY KEY (item, step, number)
) STRICT, WITHOUT ROWID;
