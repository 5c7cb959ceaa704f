"""What the channels of a network's last layer mean: one file a target.

A target says how many channels a data set of k classes needs, how the losses see them,
what is true of them, and which maps evaluation gets. The truth is computed inside the
step, from mask and objects as augmentation left them: a turned object has turned rays.
"""
