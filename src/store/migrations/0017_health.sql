-- The health checks that were bad when they were looked at last, since when, and what was found first.
CREATE TABLE health_checks (
  instance TEXT    NOT NULL,
  name     TEXT    NOT NULL CHECK (name <> ''),
  since_ms INTEGER NOT NULL,
  detail   TEXT    NOT NULL,
  PRIMARY KEY (instance, name)
) STRICT, WITHOUT ROWID;
