"""Distillation: a smaller student learns its teacher's vectors of one's own pictures and titles, without labels."""
