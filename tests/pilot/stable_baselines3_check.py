"""Stable-Baselines3's own check of the Gymnasium view, and a short training with it.

``python stable_baselines3_check.py`` with the sources of the project and its tests on the path. Prints the number of
steps that were trained.
"""

import warnings

from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from tests.pilot.episode_tables import sequences_of, table_of

from quantum_trader.pilot.episode import EnvironmentSettings
from quantum_trader.pilot.gym_view import MarketGym


def main() -> None:
    """Check the view with every warning an error, then train."""
    settings = EnvironmentSettings(episode_bars=100)
    view = MarketGym(table_of(sequences_of(range(4), settings), settings), settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(view)
    agent = PPO("MlpPolicy", view, n_steps=128, batch_size=64, n_epochs=1, seed=1, device="cpu")
    agent.learn(256)
    print(agent.num_timesteps)  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
