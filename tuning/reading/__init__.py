"""Reading of a catalogue for tuning: phrases, pictures, products and clicked queries."""
