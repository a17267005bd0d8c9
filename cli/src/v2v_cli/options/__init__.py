# SPDX-License-Identifier: GPL-2.0-or-later
"""The options, each declared once, in groups that the commands take.

A group is a dataclass. Each field says everything about one option: its names, its help, its default, and how its value
is read. A command names its groups as parameters, and is called with their values from the command line::

    def copy(session: Session, copying: Copying, messages: Messages) -> int: ...

``declaration.py`` holds what a declaration consists of; ``v2v_cli.command`` turns declarations into typer's options.
The short names are virt-v2v's; each has a readable long one.
"""
