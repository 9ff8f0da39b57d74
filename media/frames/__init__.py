"""Frames of videos: rules, shots and the selection of frames; pure functions over decoded pictures."""
