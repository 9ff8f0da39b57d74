"""Linear heads on stored vectors: calibration, thresholds, intervals, and how well heads do."""
