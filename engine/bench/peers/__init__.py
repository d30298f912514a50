"""What this engine is measured against. Each peer is imported only when it is run."""
