"""Live trading: the asyncio driver around a session, which writes every input down before the engine acts on it."""
