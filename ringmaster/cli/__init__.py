"""`rmctl`: a thin client of the daemon, one file per noun. Imports neither trio nor apsw, and little else."""
