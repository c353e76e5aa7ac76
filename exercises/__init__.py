"""The exercises of the course, one file each; `exercises.base` says what an exercise is."""
