"""``python -m quantum_trader``: the command line."""

from quantum_trader.app.cli.main import main

if __name__ == "__main__":
    main()
