# The front door; meson and ninja do the work. HACKING.md lists the targets.
BUILD ?= build
PREFIX ?= /usr/local
MESON = /usr/bin/meson
NINJA = /usr/bin/ninja

all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD)

$(BUILD)/build.ninja:
	@$(MESON) setup --prefix=$(PREFIX) $(BUILD)

clean:
	rm -rf build build-*

.PHONY: all clean
