"""The starter encoder: two packaged towers and the bridge that joins them."""
