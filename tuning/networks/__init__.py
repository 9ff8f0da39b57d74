"""Tuning of open_clip and transformers models: LoRA, one frozen tower, or all weights; distributed and resumable."""
