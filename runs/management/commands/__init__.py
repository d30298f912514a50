"""One file a command; Django finds them here by name."""
