"""The commands: a plugin of dlt that parses, calls `load` or an operation, and prints."""
