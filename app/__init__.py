"""Processes and their lifetime: starts, stops, configures, steers and observes; never touches a pixel."""
