"""Many bodies of one moment made one round: rows, duplicates, contradictions, and what is kept between two rounds."""
