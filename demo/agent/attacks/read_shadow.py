"""Reads the machine's password hashes (and prints only how many there are)."""

for path in ("/etc/shadow", "/etc/gshadow", "/etc/shadow-"):
    try:
        with open(path) as shadow:
            print("GOT", path, len(shadow.readlines()), "lines")
    except OSError as error:
        print("no", path, error.strerror)
