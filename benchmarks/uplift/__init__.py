"""Whether pushes go where they earn: on a real trial, and on a shop whose truth is known."""
