"""Trust and safety: policies, classifier heads on stored vectors, hash matching, decisions that can be defended."""
