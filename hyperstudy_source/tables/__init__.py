"""What a page of the API becomes: the fields of a row, their values, their columns and keys, and dlt's hints.

It knows no HTTP. Of `api` it imports only what must not be kept (`redaction`).
"""
