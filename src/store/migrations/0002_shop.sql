-- The catalogue, the writes under way at the shops, tokens and quotas.

CREATE TABLE products (
  asin                TEXT    PRIMARY KEY CHECK (length(asin) = 10),
  title               TEXT,
  -- Each fetched value has its own date; an absent value never overwrites.
  cost_yen            INTEGER CHECK (cost_yen > 0),
  cost_fetched_at_ms  INTEGER,
  stock               TEXT    CHECK (stock IN ('in_stock', 'no_offer', 'filtered')),
  stock_fetched_at_ms INTEGER,
  created_at_ms       INTEGER NOT NULL,
  CHECK ((cost_yen IS NULL) = (cost_fetched_at_ms IS NULL)),
  CHECK ((stock IS NULL) = (stock_fetched_at_ms IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE listings (
  id            INTEGER PRIMARY KEY,
  asin          TEXT    NOT NULL REFERENCES products (asin),
  platform      TEXT    NOT NULL CHECK (platform <> '' AND platform NOT GLOB '*[^a-z]*'),
  account       TEXT    NOT NULL,
  item_id       TEXT,
  sku           TEXT    NOT NULL,
  -- What we last wrote at the shop.
  price_yen     INTEGER CHECK (price_yen > 0),
  visible       INTEGER CHECK (visible IN (0, 1)),
  written_at_ms INTEGER,
  state         TEXT    NOT NULL CHECK (state IN ('pending', 'listed', 'delisted', 'deleted')),
  created_at_ms INTEGER NOT NULL,
  CHECK (state <> 'listed' OR item_id IS NOT NULL),
  -- The same product may be listed in several shops, once in each.
  UNIQUE (asin, platform, account),
  UNIQUE (platform, account, sku),
  UNIQUE (platform, account, item_id)
) STRICT;

-- Writes that were about to be made, or may have been. A row goes when its fate is known.
CREATE TABLE intents (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  instance      TEXT    NOT NULL,
  run           INTEGER NOT NULL,
  platform      TEXT    NOT NULL CHECK (platform <> '' AND platform NOT GLOB '*[^a-z]*'),
  account       TEXT    NOT NULL,
  asin          TEXT    NOT NULL,
  item_id       TEXT    NOT NULL,
  price_yen     INTEGER CHECK (price_yen > 0),
  visible       INTEGER CHECK (visible IN (0, 1)),
  created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_shop ON intents (platform, account);

CREATE TABLE tokens (
  platform         TEXT    NOT NULL CHECK (platform <> '' AND platform NOT GLOB '*[^a-z]*'),
  account          TEXT    NOT NULL,
  -- The refresh token in the configuration that this began with.
  configured       TEXT,
  access           TEXT,
  expires_at_ms    INTEGER,
  refresh          TEXT    NOT NULL,
  -- Counts the pairs.
  generation       INTEGER NOT NULL CHECK (generation >= 0),
  -- Somebody is refreshing, until then at most.
  claimed_until_ms INTEGER,
  PRIMARY KEY (platform, account),
  CHECK ((access IS NULL) = (expires_at_ms IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE quotas (
  application TEXT    NOT NULL,
  account     TEXT    NOT NULL,
  operation   TEXT    NOT NULL,
  -- A bucket's: when it will be full again. A window's: when the period began.
  at_ms       INTEGER NOT NULL,
  calls       INTEGER NOT NULL CHECK (calls >= 0),
  -- What the marketplace said last; NULL: nothing.
  interval_ms INTEGER CHECK (interval_ms > 0),
  PRIMARY KEY (application, account, operation)
) STRICT, WITHOUT ROWID;
