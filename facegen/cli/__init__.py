"""The verbs, one file for each family. A verb is a dataclass: see flags.py."""
