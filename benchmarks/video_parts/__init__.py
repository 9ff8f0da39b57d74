"""Parts of the video benchmark, one per kind of figure."""
