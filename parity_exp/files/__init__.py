"""Files: written whole or not at all, read by anyone's hand, and known again by what they were made from."""
