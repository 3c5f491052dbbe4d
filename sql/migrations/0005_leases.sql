-- Attempts that somebody pulled, and the seats that are only pulled for. lease_s is 0 for a supervised attempt.
-- lease_left_s: NULL while no lease runs (being prepared, or handed in), 0 once it has run out.
ALTER TABLE attempts ADD COLUMN lease_s REAL NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN lease_left_s REAL;
ALTER TABLE workers ADD COLUMN is_pulled INTEGER NOT NULL DEFAULT 0 CHECK (is_pulled IN (0, 1));
