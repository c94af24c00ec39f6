-- What a product is, each value with the date on which it was fetched or given; and what became of costs and prices.

ALTER TABLE products ADD COLUMN title_fetched_at_ms INTEGER;
UPDATE products SET title_fetched_at_ms = created_at_ms WHERE title IS NOT NULL;
ALTER TABLE products ADD COLUMN brand TEXT;
ALTER TABLE products ADD COLUMN brand_fetched_at_ms INTEGER CHECK ((brand IS NULL) = (brand_fetched_at_ms IS NULL));
-- From the widest to the narrowest: `A > B > C`.
ALTER TABLE products ADD COLUMN category TEXT;
ALTER TABLE products ADD COLUMN category_fetched_at_ms INTEGER CHECK ((category IS NULL) = (category_fetched_at_ms IS NULL));
-- When a value last became another; NULL: never. A check cannot be added to a column that is there, so the title's stands here.
ALTER TABLE products ADD COLUMN updated_at_ms INTEGER CHECK ((title IS NULL) = (title_fetched_at_ms IS NULL));

-- Long texts, apart from what every sync reads: a row that spills over takes four times its size.
CREATE TABLE product_texts (
  asin                      TEXT    PRIMARY KEY REFERENCES products (asin) ON DELETE CASCADE,
  description               TEXT,
  description_fetched_at_ms INTEGER,
  -- A JSON list of addresses, the main picture first.
  images                    TEXT    CHECK (json_valid(images)),
  images_fetched_at_ms      INTEGER,
  CHECK ((description IS NULL) = (description_fetched_at_ms IS NULL)),
  CHECK ((images IS NULL) = (images_fetched_at_ms IS NULL))
) STRICT;

CREATE INDEX products_age ON products (coalesce(stock_fetched_at_ms, 0), asin, stock);
CREATE INDEX products_stock ON products (stock);
CREATE INDEX listings_shop ON listings (platform, account, state, asin);
CREATE INDEX listings_state ON listings (state, asin);

-- Each change of what a shop asks for a product; written in the transaction that settles the write as made.
CREATE TABLE price_history (
  id       INTEGER PRIMARY KEY,
  asin     TEXT    NOT NULL REFERENCES products (asin),
  platform TEXT    NOT NULL CHECK (platform <> '' AND platform NOT GLOB '*[^a-z]*'),
  account  TEXT    NOT NULL,
  -- NULL: none was known.
  old_yen  INTEGER CHECK (old_yen > 0),
  new_yen  INTEGER NOT NULL CHECK (new_yen > 0),
  -- What the product cost at that time, as far as that was known.
  cost_yen INTEGER CHECK (cost_yen > 0),
  reason   TEXT    NOT NULL CHECK (reason <> ''),
  -- NULL: a person's import.
  run      INTEGER,
  at_ms    INTEGER NOT NULL,
  CHECK (old_yen IS NOT new_yen)
) STRICT;
CREATE INDEX price_history_asin ON price_history (asin);

-- Each change of a product's cost.
CREATE TABLE cost_history (
  id      INTEGER PRIMARY KEY,
  asin    TEXT    NOT NULL REFERENCES products (asin),
  old_yen INTEGER CHECK (old_yen > 0),
  new_yen INTEGER NOT NULL CHECK (new_yen > 0),
  at_ms   INTEGER NOT NULL,
  CHECK (old_yen IS NOT new_yen)
) STRICT;
CREATE INDEX cost_history_asin ON cost_history (asin);
