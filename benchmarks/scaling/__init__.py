"""Replicas of a serving engine under a day of real requests, and the scalers that are compared on it."""
