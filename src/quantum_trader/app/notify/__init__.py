"""Notifications: what a run did and what it needs, told to people by any service that apprise knows."""
