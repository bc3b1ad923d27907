"""Train, judge and use image models on your own pictures."""
