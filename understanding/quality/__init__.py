"""Quality of pictures: blur, enlargement, darkness, bars and other problems that a shop can repair."""
