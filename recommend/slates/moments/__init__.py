"""Stretches of videos: the best moments for a person, and where similar videos contain each other."""
