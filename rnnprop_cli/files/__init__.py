"""Files that users name: what is opened must be a plain file of a sane size, what is written is whole or not there."""
