"""Linear heads on stored vectors: labels, fitting, calibration, cuts, and measures of their quality."""
