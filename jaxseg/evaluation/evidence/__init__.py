"""Asks what answers on whole images rest on: the object, its surroundings, which part.

`covered` hides parts of images, `shortcut` scores what is left, `localisation` asks
where the maximum of a map lies, `cases` shows single images.
"""
