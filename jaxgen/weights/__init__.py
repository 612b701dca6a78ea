"""What reads published or foreign weights."""
