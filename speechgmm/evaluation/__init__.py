"""From scores to metrics (`metrics`), plots (`plots`) and one page with both (`report`).

This package itself imports none of the three, because plots and reports need libraries that metrics do not.
"""
