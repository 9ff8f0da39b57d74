"""Inputs of a Python program: names of files, and rows in memory."""
