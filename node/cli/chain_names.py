"""A group of commands in which any other word is a name of the chain's metadata."""

import asyncclick as click

ANY_OPTION = {"ignore_unknown_options": True}
"""Options in front of a name belong to the command behind it."""


class NameGroup(click.Group):
    """Passes whatever is no command of it to the one called `default`."""

    default = ""

    async def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without arguments the default command is meant."""
        return await super().parse_args(ctx, args or [self.default])

    async def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A command by its name, or the default one with all arguments."""
        if args[0] in self.commands:
            return await super().resolve_command(ctx, args)
        return self.default, self.commands[self.default], args
