"""Pages that tell results: plain values -> one self-contained HTML file each.

`content` has the values, `measures` the numbers with their definitions, `page` and the templates beside it the rest.
A page loads nothing, runs no script, has a light and a dark face, can be printed, and fits a phone. It knows results,
not recipes: whoever ran or read an experiment fills the content. A number that does not exist is shown as a dash with
the reason; NaN is never shown.
"""
