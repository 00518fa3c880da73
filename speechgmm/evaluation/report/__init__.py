"""Pages that show results: from plain values to one self-contained HTML file each.

`content` has the values, `metric_rows` the metrics with their definitions, and `page` with its templates renders them.
A page loads nothing, runs no script, has a light and a dark theme, can be printed, and fits a phone. It knows results,
not recipes: whatever ran or read an experiment fills the content. A metric that does not exist is shown as a dash with
the reason; NaN is never shown.
"""
