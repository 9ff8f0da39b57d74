"""Selection of video frames by rules and shots: pure functions over decoded pictures."""
