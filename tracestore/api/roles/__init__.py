"""The roles of a process, each a part of its own; ``api/process.py`` adds them up."""
