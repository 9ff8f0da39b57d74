"""The starter encoder: two packaged towers and a bridge between them."""
