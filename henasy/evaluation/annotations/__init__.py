"""Loaders of the public annotation files, which say what is wrong with one."""
