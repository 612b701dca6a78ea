"""Networks that say what is noise in their input, one paper a file."""
