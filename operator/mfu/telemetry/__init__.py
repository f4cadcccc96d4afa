"""Where readings come from: one adapter a source, and the store of their recent past."""
