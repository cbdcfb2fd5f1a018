"""The mathematics of acting and learning, apart from processes, files and networks between machines."""
