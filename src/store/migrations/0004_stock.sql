-- A write may set how many of an item the shop has to sell.
ALTER TABLE intents ADD COLUMN stock INTEGER CHECK (stock >= 0);
