"""What each command says of itself, in a file of its own and apart from what it does, so that help is quick."""
