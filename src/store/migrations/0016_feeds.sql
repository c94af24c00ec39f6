-- What is on its way to a seller's listings at Amazon.

CREATE TABLE feeds (
  id           INTEGER PRIMARY KEY,
  account      TEXT    NOT NULL,
  -- Amazon's number; NULL: it was about to be handed in.
  feed_id      TEXT,
  messages     INTEGER NOT NULL CHECK (messages > 0),
  state        TEXT    NOT NULL CHECK (state IN ('open', 'done', 'failed')),
  why          TEXT,
  run          INTEGER NOT NULL,
  begun_at_ms  INTEGER NOT NULL,
  ended_at_ms  INTEGER CHECK ((ended_at_ms IS NULL) = (state = 'open'))
) STRICT;
-- One in flight.
CREATE UNIQUE INDEX feeds_open ON feeds (account) WHERE state = 'open';
CREATE INDEX feeds_account ON feeds (account, id);

-- Pushes whose answer is not kept yet. Without a feed: told or not, nobody knows.
CREATE TABLE pushes (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT    NOT NULL,
  sku     TEXT    NOT NULL,
  -- NULL: the listing is to be deleted.
  stock   INTEGER CHECK (stock >= 0),
  feed    INTEGER REFERENCES feeds (id),
  message INTEGER CHECK ((message IS NULL) = (feed IS NULL)),
  at_ms   INTEGER NOT NULL,
  UNIQUE (account, sku)
) STRICT;
CREATE INDEX pushes_feed ON pushes (feed, message);

-- The last word of Amazon on a listing that it would not change.
CREATE TABLE refusals (
  account TEXT    NOT NULL,
  sku     TEXT    NOT NULL,
  stock   INTEGER CHECK (stock >= 0),
  code    TEXT    NOT NULL,
  text    TEXT    NOT NULL,
  at_ms   INTEGER NOT NULL,
  PRIMARY KEY (account, sku)
) STRICT, WITHOUT ROWID;
