"""One file each; every benchmark prints one JSON object with its figures as its last line."""
