"""What users would otherwise pick, each run as its own documentation says, in a virtual environment of its own."""
