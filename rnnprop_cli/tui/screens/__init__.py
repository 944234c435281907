"""One screen a file; `base` holds what they share."""
