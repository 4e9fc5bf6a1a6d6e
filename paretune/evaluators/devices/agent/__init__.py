"""The agent: an HTTP server that turns a board or a server into a measuring device.

It needs Python, numpy, Starlette and Uvicorn, and nothing else, so that it fits on any board.

Empty on purpose: the agent must stay small.
"""
