"""Commands beside serving: `python -m modelserver COMMAND --help`. Each has a `main(arguments)`."""
