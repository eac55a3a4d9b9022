"""Deletes everything that it was given to work on."""

import os
import shutil

for name in os.listdir("."):
    try:
        shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
    except OSError as error:
        print("no", name, error.strerror)
print("left:", os.listdir("."))
