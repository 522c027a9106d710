"""Where the tables lie: whose file it is, who writes to it now, what it holds, and what its failures mean.

It knows no experiment and asks the API nothing. It may import `api` and `tables`.
"""
