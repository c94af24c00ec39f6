-- Which item of a source backs which listing at Amazon, what stock the listing is to show, and what Amazon was told.

CREATE TABLE supplies (
  -- The seller at Amazon, and the seller's own number of what it sells.
  account         TEXT    NOT NULL CHECK (account <> ''),
  sku             TEXT    NOT NULL CHECK (sku <> ''),
  source          TEXT    NOT NULL CHECK (source <> ''),
  source_item     TEXT    NOT NULL CHECK (source_item <> ''),
  query           TEXT    CHECK (query <> ''),
  max_price_yen   INTEGER CHECK (max_price_yen >= 0),
  checks_per_day  INTEGER NOT NULL DEFAULT 2 CHECK (checks_per_day IN (2, 4)),
  restock         INTEGER NOT NULL DEFAULT 1 CHECK (restock > 0),
  images          TEXT    CHECK (images <> ''),
  state           TEXT    NOT NULL CHECK (state IN ('backed', 'gone', 'withdraw', 'withdrawn')),
  wanted          INTEGER NOT NULL CHECK (wanted >= 0 AND (wanted > 0) = (state = 'backed')),
  pushed          INTEGER CHECK (pushed >= 0),
  price_yen       INTEGER CHECK (price_yen >= 0),
  gone_at_ms      INTEGER CHECK ((gone_at_ms IS NULL) = (state = 'backed')),
  -- The run that last asked its source and was told how the item stands.
  checked_run     INTEGER,
  checked_at_ms   INTEGER CHECK ((checked_at_ms IS NULL) = (checked_run IS NULL)),
  -- That run was told that the item is gone; what follows is judged when all of its answers are there.
  missing         INTEGER NOT NULL DEFAULT 0 CHECK (missing IN (0, 1) AND (missing = 0 OR (state = 'backed' AND checked_run IS NOT NULL))),
  -- When a check of it was queued last.
  queued_at_ms    INTEGER,
  searched_at_ms  INTEGER,
  changed_at_ms   INTEGER NOT NULL,
  created_at_ms   INTEGER NOT NULL,
  PRIMARY KEY (account, sku)
) STRICT, WITHOUT ROWID;

-- An item that is there backs one listing.
CREATE UNIQUE INDEX supplies_item ON supplies (source, source_item) WHERE state = 'backed';
-- What is to be checked, in the order in which it was queued last.
CREATE INDEX supplies_due ON supplies (source, checks_per_day, queued_at_ms) WHERE state = 'backed';
CREATE INDEX supplies_missing ON supplies (source, checked_run) WHERE missing = 1;
CREATE INDEX supplies_gone ON supplies (source, searched_at_ms) WHERE state = 'gone' AND query IS NOT NULL;
CREATE INDEX supplies_unpushed ON supplies (account, changed_at_ms) WHERE wanted IS NOT pushed AND state IN ('backed', 'gone');
CREATE INDEX supplies_withdraw ON supplies (account, changed_at_ms) WHERE state = 'withdraw';
CREATE INDEX supplies_over ON supplies (changed_at_ms) WHERE state IN ('gone', 'withdrawn');
CREATE INDEX supplies_run ON supplies (source, checked_run);

-- How often a process died with the item in hand. One that had it happen is handed out alone.
ALTER TABLE queue ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0 CHECK (deaths >= 0);
CREATE INDEX queue_suspects ON queue (kind, platform, scheduled_at_ms) WHERE state = 'pending' AND deaths > 0;
