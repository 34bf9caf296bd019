"""Operating points by calculation: distortion bounds, delay and energy models, joint design, placement.

Pure functions of numbers: no clock, no file, no ROS, no model runtime may enter.
Every equation taken from a paper names the paper and its number.
What goes past the paper has a name of its own.
"""
