"""Models that rank items: baselines, collaborative, blend, cold start."""
