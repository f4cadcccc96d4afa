"""What training programs print, read line by line: their formats, progress bars, and what they say of the run."""
