"""Talking to the API: who asks and where, one client with a budget, and the envelope of every answer.

It knows no table and nothing of dlt, and imports no other wing.
"""
