-- Whoever makes writes of a kind looks up those whose fate is open.
ALTER TABLE intents ADD COLUMN kind TEXT NOT NULL DEFAULT 'edit' CHECK (kind IN ('edit'));
-- When, why and by which run a listing was taken out of the books; so that a person can undo it.
ALTER TABLE listings ADD COLUMN delisted_at_ms INTEGER CHECK (delisted_at_ms IS NULL OR state = 'delisted');
ALTER TABLE listings ADD COLUMN delisted_why TEXT CHECK ((delisted_why IS NULL) = (delisted_at_ms IS NULL));
ALTER TABLE listings ADD COLUMN delisted_run INTEGER CHECK ((delisted_run IS NULL) = (delisted_at_ms IS NULL));
