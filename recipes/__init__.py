"""WHAT is built: recipes as data, the images that programs stand in, and the pins that move."""
