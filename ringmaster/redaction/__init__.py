"""What others wrote, made fit to be shown: cleaned of what acts on the reader's terminal or page, then of keys."""
