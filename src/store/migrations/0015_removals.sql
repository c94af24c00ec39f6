-- Folders of images whose item is forgotten already: what is left to remove, whoever dies when. A row goes when its folder is gone.
CREATE TABLE removals (
  -- The folder that all images lie in, and where in it.
  root        TEXT    NOT NULL CHECK (root <> ''),
  folder      TEXT    NOT NULL CHECK (folder <> ''),
  begun_at_ms INTEGER NOT NULL,
  PRIMARY KEY (root, folder)
) STRICT, WITHOUT ROWID;
