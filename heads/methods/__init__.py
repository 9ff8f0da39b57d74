"""Methods that learn classes from few labels and the prompts of the classes, for tags and for safety heads."""
