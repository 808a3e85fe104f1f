"""What was built, why is it that big, and can it be trusted? One page that shows it."""
