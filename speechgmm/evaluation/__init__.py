"""Scores -> numbers (`metrics`), pictures (`plots`) and one page that holds them all (`report`).

This package imports none of the three, because plots and reports need libraries that numbers do not.
"""
