"""``python -m bitesize``: the command, where scripts are not on the path."""

from bitesize.cli.app import main

if __name__ == "__main__":
    main()
