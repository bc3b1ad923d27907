# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test fast bench clean

demo: .venv/installed
	$(BIN)/mezzotint train dcgan digits --minutes 2

test: .venv/installed-test
	$(BIN)/python tools/check.py

fast: .venv/installed-test
	$(BIN)/python tools/check.py --fast

bench: .venv/installed-test
	$(BIN)/python benchmarks/run.py

.venv/installed: pyproject.toml tools/install.sh
	sh tools/install.sh $(PYTHON) .
	touch $@

.venv/installed-test: .venv/installed
	sh tools/install.sh $(PYTHON) '.[test]'
	touch $@

clean:
	rm -rf .venv build src/*.egg-info
