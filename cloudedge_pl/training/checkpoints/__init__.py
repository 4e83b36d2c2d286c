"""Checkpoint files, and what they hold beyond Lightning's own so that a resumed run equals an unbroken one."""
