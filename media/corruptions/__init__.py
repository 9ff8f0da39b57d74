"""Corruptions of pictures in five strengths, and changes that hide a picture from a check."""
