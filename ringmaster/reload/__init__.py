"""Replacing the daemon's own code: releases, the watcher, the candidate's gate, the switch, probation and going back."""
