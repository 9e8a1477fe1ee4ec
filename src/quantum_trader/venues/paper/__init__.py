"""The paper venue: an exchange in memory, and paper fills on live prices."""
