"""What a score card is made of, one kind of ability a file."""
