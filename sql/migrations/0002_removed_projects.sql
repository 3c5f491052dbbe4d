-- A removed project keeps its row, because its tasks are history and name it; its repository is free
-- for another (common_dir is then 'removed:<id>'). Adding a project of the same name takes the row up again.

ALTER TABLE projects ADD COLUMN removed_at REAL;
