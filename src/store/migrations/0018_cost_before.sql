-- What the reading before the last one found that a product costs: a deep fall is believed when two have seen it.
ALTER TABLE products ADD COLUMN cost_before_yen INTEGER CHECK (cost_before_yen > 0);
