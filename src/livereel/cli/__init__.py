"""The `livereel` command: one module per command group.

`main` puts the groups together; start there. A group is a thin shell: it reads arguments, calls a service of `control`
or `iam` on the catalogue (or starts `livereel.app`), and prints. Nothing heavy is imported before a command needs it.
"""
