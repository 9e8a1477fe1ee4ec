"""Proof that PPO learns, on markets whose best policy is known exactly."""
