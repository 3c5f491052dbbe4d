-- Since when the stack that now waits beside the target has been growing: what was parked before that has been taken.

ALTER TABLE projects ADD COLUMN parked_at REAL;
