-- What a person sets for the programs around taskrun, and for its own worker counts.
CREATE TABLE settings (
  name          TEXT    PRIMARY KEY CHECK (name GLOB '[A-Z]*' AND name NOT GLOB '*[^A-Z0-9_]*'),
  value         TEXT    NOT NULL,
  -- When it last became another.
  changed_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
