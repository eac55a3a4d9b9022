"""Takes memory until there is none."""

hoard = []
while True:
    hoard.append(bytearray(8 << 20))
    print(len(hoard) * 8, "MiB", flush=True)
