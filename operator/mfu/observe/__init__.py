"""Readings to meaning: the two MFU meters, windows, drift, and the causes of loss with what a fix would bring."""
