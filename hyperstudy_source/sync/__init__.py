"""What is to be read, and whether it is complete: scopes, cursors, checkpoints, reads, the ledger, the run.

It may import `api`, `tables` and `destination`.
"""
