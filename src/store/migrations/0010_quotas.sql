-- What has been taken of the marketplaces' limits, by what it was for. What was counted before is forgotten: at worst one call is refused.
DROP TABLE quotas;

CREATE TABLE quotas (
  application    TEXT    NOT NULL,
  account        TEXT    NOT NULL,
  operation      TEXT    NOT NULL,
  -- The rule of whoever asked last: a bucket has an interval and a burst, a window a period and a number of calls.
  interval_ms    INTEGER CHECK (interval_ms > 0),
  burst          INTEGER CHECK (burst > 0),
  period         TEXT    CHECK (period IN ('hour', 'day')),
  calls_max      INTEGER CHECK (calls_max >= 0),
  -- The interval that the marketplace said last; NULL: none.
  learned_ms     INTEGER CHECK (learned_ms > 0),
  -- A bucket's: when it will be full again. A window's: when the period began.
  at_ms          INTEGER NOT NULL,
  shut_until_ms  INTEGER NOT NULL,
  -- A window's in its period, a bucket's on its day.
  calls_sync     INTEGER NOT NULL CHECK (calls_sync >= 0),
  calls_upload   INTEGER NOT NULL CHECK (calls_upload >= 0),
  calls_manual   INTEGER NOT NULL CHECK (calls_manual >= 0),
  day_ms         INTEGER NOT NULL,
  refused        INTEGER NOT NULL CHECK (refused >= 0),
  refused_in_row INTEGER NOT NULL CHECK (refused_in_row >= 0),
  PRIMARY KEY (application, account, operation),
  CHECK ((interval_ms IS NULL) = (burst IS NULL)),
  CHECK ((period IS NULL) = (calls_max IS NULL)),
  CHECK ((interval_ms IS NULL) <> (period IS NULL))
) STRICT, WITHOUT ROWID;
