"""The output of attempts: where it lies, what of it may be shown, and finding something in it again."""
