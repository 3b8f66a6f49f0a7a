"""What the command lines of the end-to-end tooling share."""

from __future__ import annotations

import click


def one_sentence(*expected: type[Exception]) -> type[click.Group]:
    """A group of commands whose foreseen failures end with their message, not a traceback."""

    class OneSentence(click.Group):
        def invoke(self, ctx: click.Context) -> object:
            try:
                return super().invoke(ctx)
            except expected as error:
                raise click.ClickException(str(error)) from error

    return OneSentence
