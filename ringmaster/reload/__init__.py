"""Replacing the daemon's own code: releases, watcher, the candidate's gate, switch, probation and going back."""
