"""What goes out: files, images, and what goes along with them."""
