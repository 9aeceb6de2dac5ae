"""The commands, a module each: options in, exit status out. A command never imports another.

May import: anything but another command.
"""
