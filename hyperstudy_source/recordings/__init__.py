"""The files of recordings: their names, where they go, how they are fetched whole, and the manifest.

It may import every wing before it: `api`, `tables`, `destination` and `sync`.
"""
