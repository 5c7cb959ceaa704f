"""Scores classes of whole images: thresholds and temperature come from validation.

`choose` freezes them with the operating point, `score` makes the numbers of a split and
its columns of the tables, `pixel_free` the result of a run that learned no pixels.
"""
