-- Accounts that are not to be called: for a cause, until a time or (NULL) a person.
CREATE TABLE parks (
  platform TEXT    NOT NULL CHECK (platform <> '' AND platform NOT GLOB '*[^a-z]*'),
  account  TEXT    NOT NULL,
  cause    TEXT    NOT NULL CHECK (cause IN ('limited', 'restricted', 'login', 'paused')),
  detail   TEXT    NOT NULL,
  since_ms INTEGER NOT NULL,
  until_ms INTEGER,
  PRIMARY KEY (platform, account, cause)
) STRICT, WITHOUT ROWID;
