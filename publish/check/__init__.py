"""Is what came out what is said about it?"""
