# SPDX-License-Identifier: GPL-2.0-or-later
"""The options, each declared once, in groups that the commands take.

A group is a dataclass whose fields say everything about an option: its names, its help, its default, how its value is
read. A command names the groups that it takes, and gets them filled in from the command line::

    def copy(session: Session, copying: Copying, messages: Messages) -> int: ...

``declaration.py`` has the words for declaring; ``v2v_cli.command`` makes typer's options of them. The short names are
virt-v2v's; each has a readable twin.
"""
