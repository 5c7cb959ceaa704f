"""Scores the objects of a run: how they are looked for is chosen on validation.

A run looks for objects where config.objects.rule names a rule. `choose` tries all
settings of the rule on validation and freezes the best; `count` compares the objects of
each image with the true ones; `result` makes the numbers of a split of that.
"""
