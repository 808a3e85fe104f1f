"""Campaigns: thousands of generated attacks on one part each, repeatable by seed and case number.

A module here that has a ``CAMPAIGN`` is one; its name has ``-`` for the module's ``_``.
"""
