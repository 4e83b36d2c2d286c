"""The subcommands of ``cloudedge``: one Hydra entry point a file."""
