"""What systemd and the daemon say to each other, and the texts of the units. Standard library only, no trio."""
