# Two commands for a newcomer: make demo, make test. Two for people who work on it: make dev, make check.

PYTHON ?= /usr/bin/python3
VENV   := .venv
BIN    := $(VENV)/bin
# Building a guest makes files with their owners and mounts, which only root may do; the result is everybody's to read.
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
IN_TESTS     := cd tests && $(SUDO) env V2V_TEST_CACHE="$${V2V_TEST_CACHE:-$(HOME)/.cache/v2v-test-guests}"
BUILD_GUESTS := $(IN_TESTS) /usr/bin/python3 -m guests.build
# With pip, which brings the hive of a Windows 10.
BUILD_WINDOWS := $(IN_TESTS) ../$(BIN)/python -m windows_images.build
DISTS  := core cli plugins/input_disk plugins/input_vmware plugins/output_local plugins/output_rhv plugins/convert_guestfs

# Where the wheels go.
WHEELS ?= dist

.PHONY: demo test test-zoo zoo dev check wheels setup format clean

demo: setup dev                    ## build a small real guest, convert it, boot the result
	$(BUILD_GUESTS) debian12-vmware
	$(BIN)/python tests/demo.py

test: setup dev                    ## everything: unit, contract, packaging, whole conversions, booted guests
	$(BUILD_GUESTS)
	$(BUILD_WINDOWS)
	$(BIN)/python -m pytest --durations=15 -m "not zoo"

zoo: setup dev                     ## build every guest of the zoo
	$(BUILD_GUESTS) --zoo
	$(BUILD_WINDOWS) --all

test-zoo: dev zoo                  ## convert and boot every guest of the zoo; two hours without KVM
	$(BIN)/python -m pytest --durations=0 tests/zoo tests/phony tests/conversions/test_dracut_image.py \
	    tests/conversions/test_tools_of_the_guest.py tests/conversions/test_first_boot.py \
	    tests/conversions/test_systemd_boot.py tests/conversions/test_disk_names.py \
	    tests/faults/test_hostile_guests.py tests/faults/test_time_limits.py tests/windows_images \
	    tests/conversions/test_windows.py tests/conversions/test_windows_blockers.py

dev: $(VENV)/installed             ## the commands in .venv/bin, editable

check: dev                         ## format, lint, types, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(addsuffix /src,$(DISTS))
	$(BIN)/python -m pytest -q -m "not slow and not zoo"

wheels: dev                        ## a wheel of every distribution in dist/, as README.md installs them
	rm -f $(WHEELS)/v2v_*.whl
	$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w $(WHEELS) $(addprefix ./,$(DISTS))

setup:                             ## system packages, with sudo when not root
	./setup-system

# what hatch_build.py compiles for Windows guests
SERVICE := plugins/convert_guestfs/src/v2v_convert_guestfs/windows/firstboot/service/v2v_firstboot.c

$(VENV)/installed: pyproject.toml constraints.txt $(addsuffix /pyproject.toml,$(DISTS)) \
    plugins/convert_guestfs/hatch_build.py $(SERVICE)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt $(addprefix -e ,$(DISTS)) \
	    pytest pytest-timeout hypothesis ruff mypy lxml-stubs types-PyYAML hatchling editables keyring \
	    dissect.regf dissect.target cryptography
	touch $@

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) dist demo-out
