"""The review queue, people's decisions, and explanations of decisions."""
