-- When the pair was got: a refresh token lives for so many days from then.
ALTER TABLE tokens ADD COLUMN refreshed_at_ms INTEGER;
-- Written before a refresh is sent, and taken back when its answer is there: as long as it stands, nobody knows whether the refresh token is good.
ALTER TABLE tokens ADD COLUMN sent_at_ms INTEGER;
-- Nobody holds the claim: the last try failed, and there is none before its end.
ALTER TABLE tokens ADD COLUMN resting INTEGER NOT NULL DEFAULT 0 CHECK (resting IN (0, 1));
-- The process that holds the claim, so that it can be proved dead.
ALTER TABLE tokens ADD COLUMN claimed_by TEXT;
-- What was said when the refresh token was refused for good.
ALTER TABLE tokens ADD COLUMN refused TEXT;
-- The refresh token before, for a rescue.
ALTER TABLE tokens ADD COLUMN previous_refresh TEXT;
ALTER TABLE tokens ADD COLUMN previous_refreshed_at_ms INTEGER;

-- What the last looks at an account's credentials found.
CREATE TABLE credentials (
  platform      TEXT    NOT NULL CHECK (platform <> '' AND platform NOT GLOB '*[^a-z]*'),
  account       TEXT    NOT NULL,
  verdict       TEXT    NOT NULL CHECK (verdict IN ('valid', 'inactive', 'suspended', 'scope', 'denied', 'revoked', 'application')),
  detail        TEXT    NOT NULL,
  -- Since when it is so, and when it was last seen to be.
  since_ms      INTEGER NOT NULL,
  checked_at_ms INTEGER NOT NULL,
  PRIMARY KEY (platform, account)
) STRICT, WITHOUT ROWID;
