"""The panel that steers a sandbox; in a live lane there is none."""
