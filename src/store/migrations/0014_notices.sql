-- What people hear of, folded: one row for what is the same event on the same subject. It is written before it is sent, a run's end in the
-- transaction of the end.
CREATE TABLE notices (
  event        TEXT    NOT NULL CHECK (event <> ''),
  subject      TEXT    NOT NULL,
  level        TEXT    NOT NULL CHECK (level IN ('info', 'warning', 'alert')),
  -- Of the newest.
  text         TEXT    NOT NULL,
  run          INTEGER,
  first_ms     INTEGER NOT NULL,
  last_ms      INTEGER NOT NULL,
  count        INTEGER NOT NULL CHECK (count > 0),
  -- The trouble is over: the next of its kind is a new one.
  over         INTEGER NOT NULL DEFAULT 0 CHECK (over IN (0, 1)),
  -- What is over, for a `recovered`: how often it happened, since when.
  before_count INTEGER,
  before_ms    INTEGER CHECK ((before_ms IS NULL) = (before_count IS NULL)),
  PRIMARY KEY (event, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_last ON notices (last_ms);

-- How many of them a channel has told.
CREATE TABLE notice_sends (
  channel  TEXT    NOT NULL REFERENCES notice_channels (name) ON DELETE CASCADE,
  event    TEXT    NOT NULL,
  subject  TEXT    NOT NULL,
  told     INTEGER NOT NULL CHECK (told >= 0),
  told_ms  INTEGER NOT NULL,
  -- The channel has not confirmed it, not even the second time.
  doubtful INTEGER NOT NULL DEFAULT 0 CHECK (doubtful IN (0, 1)),
  PRIMARY KEY (channel, event, subject),
  FOREIGN KEY (event, subject) REFERENCES notices (event, subject) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_sends_notice ON notice_sends (event, subject);

CREATE TABLE notice_channels (
  name             TEXT    PRIMARY KEY,
  -- What happened before is not told: the channel was not there.
  since_ms         INTEGER NOT NULL,
  -- Messages that it took. The next one has the next number, and keeps it when it is repeated.
  sent             INTEGER NOT NULL DEFAULT 0,
  last_sent_ms     INTEGER,
  -- Since its last success.
  failures         INTEGER NOT NULL DEFAULT 0,
  -- Tries of the message in hand that may have arrived.
  doubts           INTEGER NOT NULL DEFAULT 0,
  failing_since_ms INTEGER,
  error            TEXT,
  retry_at_ms      INTEGER,
  -- A process is sending, until then at most.
  claimed_until_ms INTEGER
) STRICT, WITHOUT ROWID;
