"""Values and rules. Nothing here does I/O, knows trio or SQL, or reads a clock."""
