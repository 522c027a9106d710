"""What is asked of a pipeline beside a load: can it work, is it all there, how far is it.

It may import every wing but `cli`.
"""
